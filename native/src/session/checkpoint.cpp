#include "session/checkpoint.h"

#include <array>
#include <bit>
#include <cstring>
#include <type_traits>

#include "convsweep/error.h"

namespace convsweep {
namespace {

static_assert(std::endian::native == std::endian::little, "checkpoints are written as memory holds them");

constexpr char magic[8] = {'C', 'S', 'W', 'P', 'L', 'A', 'N', 'E'};

Error corrupt(const std::string& what) { return Error(ErrorCode::ENGINE_CORRUPT_CHECKPOINT, "checkpoint", what); }
Error foreign(const std::string& what) { return Error(ErrorCode::ENGINE_FOREIGN_CHECKPOINT, "checkpoint", what); }

class Writer {
 public:
  template <class T>
  void operator()(const T& value) {
    static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>);
    raw(&value, sizeof value);
  }
  void raw(const void* data, std::size_t size) {
    const auto* from = static_cast<const std::uint8_t*>(data);
    bytes.insert(bytes.end(), from, from + size);
  }
  void floats(const std::vector<float>& run) {
    (*this)(static_cast<std::uint64_t>(run.size()));
    raw(run.data(), run.size() * sizeof(float));
  }

  std::vector<std::uint8_t> bytes;
};

class Reader {
 public:
  explicit Reader(std::span<const std::uint8_t> bytes) : rest_(bytes) {}

  template <class T>
  void operator()(T& value) {
    static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>);
    raw(&value, sizeof value);
  }
  void raw(void* data, std::size_t size) {
    if (rest_.size() < size) throw corrupt("it ends too early");
    if (size > 0) std::memcpy(data, rest_.data(), size);
    rest_ = rest_.subspan(size);
  }
  void floats(std::vector<float>& run) {
    std::uint64_t count = 0;
    (*this)(count);
    if (count > rest_.size() / sizeof(float)) throw corrupt("it ends too early");
    run.resize(static_cast<std::size_t>(count));
    raw(run.data(), run.size() * sizeof(float));
  }
  bool at_end() const { return rest_.empty(); }
  void done() const {
    if (!rest_.empty()) throw corrupt(std::to_string(rest_.size()) + " bytes follow its end");
  }

 private:
  std::span<const std::uint8_t> rest_;
};

// One list of fields for both directions.
template <class Archive, class State>
void visit(Archive& archive, State& s) {
  archive(s.seed);
  for (auto& value : s.hyperparameters) archive(value);
  archive(s.status);
  archive(s.phase);
  archive(s.epoch);
  archive(s.batch);
  archive(s.step);
  for (auto* tally : {&s.train, &s.validation, &s.test}) {
    archive(tally->loss_sum);
    archive(tally->correct);
    archive(tally->labels);
  }
  archive(s.last_loss);
  archive(s.last_learning_rate);
}

std::string hex(std::uint64_t value) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text(16, '0');
  for (std::size_t i = 16; i-- > 0; value >>= 4) text[i] = digits[value & 15];
  return text;
}

void check_envelope(std::span<const std::uint8_t> bytes) {
  if (bytes.size() < sizeof magic + 16 || std::memcmp(bytes.data(), magic, sizeof magic) != 0) {
    throw corrupt("these " + std::to_string(bytes.size()) + " bytes are not a lane's checkpoint");
  }
  std::uint32_t wanted = 0;
  std::memcpy(&wanted, bytes.data() + bytes.size() - sizeof wanted, sizeof wanted);
  if (crc32(bytes.first(bytes.size() - sizeof wanted)) != wanted) {
    throw corrupt("its checksum does not match; it was cut short or damaged on the way");
  }
}

}  // namespace

std::uint32_t crc32(std::span<const std::uint8_t> bytes) {
  // Eight tables, eight bytes a turn: a checkpoint is saved between two slices and must not be felt.
  static const auto tables = [] {
    std::array<std::array<std::uint32_t, 256>, 8> t{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t c = i;
      for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ ((c & 1) != 0 ? 0xEDB88320u : 0);
      t[0][i] = c;
    }
    for (std::size_t i = 0; i < 256; ++i) {
      for (std::size_t j = 1; j < 8; ++j) t[j][i] = (t[j - 1][i] >> 8) ^ t[0][t[j - 1][i] & 255];
    }
    return t;
  }();
  std::uint32_t c = ~0u;
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    std::uint32_t low = 0, high = 0;
    std::memcpy(&low, bytes.data() + i, 4);
    std::memcpy(&high, bytes.data() + i + 4, 4);
    low ^= c;
    c = tables[7][low & 255] ^ tables[6][(low >> 8) & 255] ^ tables[5][(low >> 16) & 255] ^ tables[4][low >> 24] ^
        tables[3][high & 255] ^ tables[2][(high >> 8) & 255] ^ tables[1][(high >> 16) & 255] ^ tables[0][high >> 24];
  }
  for (; i < bytes.size(); ++i) c = (c >> 8) ^ tables[0][(c ^ bytes[i]) & 255];
  return ~c;
}

std::vector<std::uint8_t> write_checkpoint(const LaneImage& image, std::uint64_t recipe_digest,
                                           const std::string& fingerprint) {
  Writer w;
  w.bytes.reserve(1024 +
                  sizeof(float) * (image.parameters.size() + image.state0.size() + image.state1.size() +
                                   image.statistics.size() + image.average.size() + image.average_statistics.size()));
  w.raw(magic, sizeof magic);
  w(checkpoint_version);
  w(recipe_digest);
  w(static_cast<std::uint32_t>(fingerprint.size()));
  w.raw(fingerprint.data(), fingerprint.size());
  visit(w, image.state);
  for (const auto* run : {&image.parameters, &image.state0, &image.state1, &image.statistics}) w.floats(*run);
  if (!image.average.empty()) {
    for (const auto* run : {&image.average, &image.average_statistics}) w.floats(*run);
  }
  w(crc32(w.bytes));
  return std::move(w.bytes);
}

LaneImage read_checkpoint(std::span<const std::uint8_t> bytes, std::uint64_t recipe_digest,
                          const std::optional<std::string>& fingerprint) {
  check_envelope(bytes);
  Reader r(bytes.subspan(sizeof magic, bytes.size() - sizeof magic - sizeof(std::uint32_t)));
  std::uint32_t version = 0, length = 0;
  r(version);
  if (version != checkpoint_version) {
    throw foreign("its format is version " + std::to_string(version) + ", this engine reads version " +
                  std::to_string(checkpoint_version));
  }
  std::uint64_t digest = 0;
  r(digest);
  r(length);
  if (length > 256) throw corrupt("its fingerprint is too long");
  std::string from(length, '\0');
  r.raw(from.data(), from.size());
  if (digest != recipe_digest) {
    throw foreign("it was made with another recipe (" + hex(digest) + ", this one is " + hex(recipe_digest) + ")");
  }
  if (fingerprint && from != *fingerprint) {
    throw foreign("it was made on \"" + from + "\", this session runs on \"" + *fingerprint +
                  "\"; the two do not compare to the bit");
  }
  LaneImage image;
  visit(r, image.state);
  if (image.state.status > LaneStatus::diverged_weights || image.state.phase > Phase::statistics) {
    throw corrupt("its position makes no sense");
  }
  for (auto* run : {&image.parameters, &image.state0, &image.state1, &image.statistics}) r.floats(*run);
  if (!r.at_end()) {
    for (auto* run : {&image.average, &image.average_statistics}) r.floats(*run);
  }
  r.done();
  return image;
}

}  // namespace convsweep
