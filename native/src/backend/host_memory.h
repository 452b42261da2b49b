// Memory of backends that compute in the host's own memory.
//
// Guarantees: allocate() yields zeroed memory aligned to a page, or throws Error ENGINE_OUT_OF_MEMORY, also when the
// machine could promise the memory but never hold it.
#pragma once

#include <cstddef>

#include "convsweep/backend.h"

namespace convsweep {

class HostBackend : public Backend {
 public:
  bool is_host() const override { return true; }
  void* allocate(std::size_t bytes) override;
  void release(void* memory) noexcept override;
  void copy_in(void* device, const void* host, std::size_t bytes) override;
  void copy_out(void* host, const void* device, std::size_t bytes) override;
  // The data set itself.
  std::shared_ptr<const DatasetMemory> dataset(std::shared_ptr<const Dataset> set) override;
  std::size_t memory_bytes() const override;
};

// What allocate() gave out in this process and has not got back, without the page that each allocation takes more.
std::size_t host_bytes_allocated();

}  // namespace convsweep
