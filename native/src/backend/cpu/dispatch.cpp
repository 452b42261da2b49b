// Chooses the kernels by what the processor and the operating system can do, by features and never by model.
//
// Guarantees: compiled with baseline flags; touches no vector kernel that the processor lacks.
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "kernels.h"

namespace convsweep::cpu {

extern const KernelTable kTable_scalar;
#if defined(__x86_64__)
extern const KernelTable kTable_avx2;
extern const KernelTable kTable_avx512;
#endif

namespace {

Isa highest_supported() noexcept {
#if defined(__x86_64__)
  // These also ask the operating system (XGETBV) whether it saves the registers.
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl")) {
    return Isa::avx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::avx2;
#endif
  return Isa::scalar;
}

Isa choose() noexcept {
  const Isa highest = highest_supported();
  const char* wanted = std::getenv("CONVSWEEP_ISA");
  if (wanted == nullptr) return highest;
  for (const Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512}) {
    if (std::strcmp(wanted, isa_name(isa)) == 0 && isa <= highest) return isa;
  }
  return highest;
}

}  // namespace

Isa best_isa() noexcept {
  static const Isa isa = choose();
  return isa;
}

bool isa_supported(Isa isa) noexcept {
  static const Isa highest = highest_supported();
  return isa <= highest;
}

const KernelTable* kernels_for(Isa isa) noexcept {
  if (!isa_supported(isa)) return nullptr;
  switch (isa) {
#if defined(__x86_64__)
    case Isa::avx512:
      return &kTable_avx512;
    case Isa::avx2:
      return &kTable_avx2;
#endif
    case Isa::scalar:
      return &kTable_scalar;
    default:
      return nullptr;
  }
}

const KernelTable& kernels() noexcept {
  const KernelTable* table = kernels_for(best_isa());
  return table != nullptr ? *table : kTable_scalar;
}

const char* isa_name(Isa isa) noexcept {
  switch (isa) {
    case Isa::avx512:
      return "avx512";
    case Isa::avx2:
      return "avx2";
    default:
      return "scalar";
  }
}

}  // namespace convsweep::cpu
