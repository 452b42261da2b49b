// The choice of kernels, and that every table is complete.
#include <cstddef>
#include <cstring>
#include <initializer_list>

#include "backend/cpu/kernels.h"
#include "doctest/doctest.h"

using namespace convsweep::cpu;

TEST_CASE("the scalar kernels are always there, and the chosen ones run here") {
  REQUIRE(kernels_for(Isa::scalar) != nullptr);
  CHECK(isa_supported(Isa::scalar));
  CHECK(isa_supported(best_isa()));
  CHECK(kernels().isa == best_isa());
}

TEST_CASE("a table says which instruction set it is, and has every kernel") {
  for (const Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512}) {
    const KernelTable* table = kernels_for(isa);
    CHECK((table != nullptr) == isa_supported(isa));
    if (table == nullptr) continue;
    CHECK(table->isa == isa);
    CHECK(std::strcmp(table->name, isa_name(isa)) == 0);
    // After isa and name the struct holds function pointers only.
    constexpr std::size_t first = offsetof(KernelTable, gemm_scratch_bytes);
    for (std::size_t at = first; at < sizeof(KernelTable); at += sizeof(void*)) {
      void* entry = nullptr;
      std::memcpy(&entry, reinterpret_cast<const char*>(table) + at, sizeof entry);
      CHECK(entry != nullptr);
    }
  }
}
