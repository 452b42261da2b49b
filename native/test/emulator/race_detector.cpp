#include "emulator/race_detector.h"

namespace convsweep::emulator {

RaceDetector::Byte& RaceDetector::at(std::uintptr_t address) {
  const std::uintptr_t number = address / page_bytes;
  if (last_ == nullptr || number != last_number_) {
    std::unique_ptr<Page>& page = pages_[number];
    if (page == nullptr) page = std::make_unique<Page>();
    last_ = page.get();
    last_number_ = number;
  }
  return (*last_)[address % page_bytes];
}

const RaceDetector::Race* RaceDetector::found(std::uintptr_t address, const Moment& other, bool wrote) {
  race_ = {reinterpret_cast<const void*>(address), other, wrote};
  return &race_;
}

const RaceDetector::Race* RaceDetector::touch(const void* memory, std::size_t bytes, bool writes, bool shared,
                                              const Moment& now) {
  const auto first = reinterpret_cast<std::uintptr_t>(memory);
  for (std::uintptr_t address = first; address < first + bytes; ++address) {
    Byte& byte = at(address);
    if (!byte.writer.before(now, shared)) return found(address, byte.writer, true);
    if (!writes) {
      // The second is whoever of another thread came last.
      Moment& reader = byte.readers[byte.readers[0].block == now.block && byte.readers[0].thread != now.thread ? 1 : 0];
      reader = now;
      continue;
    }
    for (const Moment& reader : byte.readers) {
      if (!reader.before(now, shared)) return found(address, reader, false);
    }
    byte.writer = now;
    byte.readers[0] = byte.readers[1] = Moment{};
  }
  return nullptr;
}

}  // namespace convsweep::emulator
