// What code compiled with -fsanitize=thread calls at each access to memory. The kernels of namespace `raced` are; the
// sanitizer's own runtime is not linked, the emulator's race detector listens instead.
#include <cstddef>

#include "emulator/cuda_emu.h"

using convsweep::emulator::touch_memory;

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}

#define CONVSWEEP_HOOK(bytes)                                                             \
  void __tsan_read##bytes(void* memory) { touch_memory(memory, bytes, false); }           \
  void __tsan_write##bytes(void* memory) { touch_memory(memory, bytes, true); }           \
  void __tsan_unaligned_read##bytes(void* memory) { touch_memory(memory, bytes, false); } \
  void __tsan_unaligned_write##bytes(void* memory) { touch_memory(memory, bytes, true); }
CONVSWEEP_HOOK(1)
CONVSWEEP_HOOK(2)
CONVSWEEP_HOOK(4)
CONVSWEEP_HOOK(8)
CONVSWEEP_HOOK(16)
#undef CONVSWEEP_HOOK

void __tsan_read_range(void* memory, std::size_t bytes) { touch_memory(memory, bytes, false); }
void __tsan_write_range(void* memory, std::size_t bytes) { touch_memory(memory, bytes, true); }
void __tsan_vptr_update(void** memory, void*) { touch_memory(memory, sizeof(void*), true); }
void __tsan_vptr_read(void** memory) { touch_memory(memory, sizeof(void*), false); }

}  // extern "C"
