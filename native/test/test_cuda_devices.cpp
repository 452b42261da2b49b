// What the engine says of CUDA: compiled in or not, with a driver or without, it starts and answers.
#include <string>

#include "backend/registry.h"
#include "support.h"

using namespace convsweep;
using namespace convsweep::test;

#if defined(CONVSWEEP_WITH_CUDA)

TEST_CASE("cuda: devices are listed with why they are not used, driver or none") {
  int entries = 0;
  for (const DeviceInfo& device : list_devices()) {
    if (device.backend != "cuda") continue;
    CAPTURE(device.unusable);
    CHECK(device.unusable.starts_with("cuda: compiled in, but this version trains on the CPU; "));
    CHECK(device.isa.empty());
    const bool found = device.unusable.find(" found") != std::string::npos;
    CHECK((found || device.unusable.find("driver") != std::string::npos));
    CHECK(device.id == (device.memory_bytes > 0 ? "cuda:" + std::to_string(entries) : "cuda"));
    ++entries;
  }
  CHECK(entries >= 1);
  const Error error = thrown_by([] { make_backend("cuda:0", "auto"); });
  CHECK(error.code() == ErrorCode::ENGINE_NO_DEVICE);
  CHECK(std::string(error.what()).find("cuda:0 cannot train: cuda: compiled in") != std::string::npos);
}

#else

TEST_CASE("cuda: without nvcc nothing is listed, and asking for it says so") {
  MESSAGE(
      "SKIPPED: the CUDA sources were not compiled by nvcc here (none found, or CONVSWEEP_CUDA=off); only emulated");
  for (const DeviceInfo& device : list_devices()) CHECK(device.backend != "cuda");
  CHECK(thrown_by([] { make_backend("cuda:0", "auto"); }).code() == ErrorCode::ENGINE_NO_DEVICE);
}

#endif
