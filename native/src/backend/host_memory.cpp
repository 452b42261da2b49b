#include "backend/host_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include "convsweep/error.h"
#include "data/dataset.h"

namespace convsweep {
namespace {

// The size of a mapping stands in the page before it.
constexpr std::size_t header = 4096;

std::atomic<std::size_t> allocated{0};

struct DatasetOnHost final : DatasetMemory {
  explicit DatasetOnHost(std::shared_ptr<const Dataset> set) : from(std::move(set)) {
    images = from->images.data();
    labels = from->labels.data();
  }
  std::shared_ptr<const Dataset> from;
};

}  // namespace

void* HostBackend::allocate(std::size_t bytes) {
  const Error too_much(ErrorCode::ENGINE_OUT_OF_MEMORY, "",
                       "no room for " + std::to_string(bytes) + " bytes on a machine with " +
                           std::to_string(memory_bytes()) + "; take fewer lanes or a smaller batch");
  if (bytes > memory_bytes()) throw too_much;
  void* mapped = mmap(nullptr, bytes + header, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw too_much;
#if defined(MADV_HUGEPAGE)
  // Only a wish: fewer, larger pages for the weights of many lanes.
  if (bytes >= (std::size_t{4} << 20)) madvise(mapped, bytes + header, MADV_HUGEPAGE);
#endif
  const std::size_t size = bytes + header;
  std::memcpy(mapped, &size, sizeof size);
  allocated += bytes;
  return static_cast<std::byte*>(mapped) + header;
}

void HostBackend::release(void* memory) noexcept {
  if (memory == nullptr) return;
  std::byte* mapped = static_cast<std::byte*>(memory) - header;
  std::size_t size = 0;
  std::memcpy(&size, mapped, sizeof size);
  munmap(mapped, size);
  allocated -= size - header;
}

void HostBackend::copy_in(void* device, const void* host, std::size_t bytes) {
  if (bytes > 0) std::memcpy(device, host, bytes);
}

void HostBackend::copy_out(void* host, const void* device, std::size_t bytes) {
  if (bytes > 0) std::memcpy(host, device, bytes);
}

std::size_t host_bytes_allocated() { return allocated; }

std::shared_ptr<const DatasetMemory> HostBackend::dataset(std::shared_ptr<const Dataset> set) {
  return std::make_shared<const DatasetOnHost>(std::move(set));
}

std::size_t HostBackend::memory_bytes() const {
  const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
  return pages > 0 && size > 0 ? static_cast<std::size_t>(pages) * static_cast<std::size_t>(size) : 0;
}

}  // namespace convsweep
