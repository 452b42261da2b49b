// What the engine says of CUDA: compiled in or not, with a driver or without, it starts and answers.
#include <string>

#include "backend/registry.h"
#if defined(CONVSWEEP_WITH_CUDA)
#include "backend/cuda/cuda_backend.h"
#endif
#include "support.h"

using namespace convsweep;
using namespace convsweep::test;

#if defined(CONVSWEEP_WITH_CUDA)

TEST_CASE("cuda: devices are listed with why they are not used, driver or none") {
  int entries = 0;
  for (const DeviceInfo& device : list_devices()) {
    if (device.backend != "cuda") continue;
    CAPTURE(device.unusable);
    const bool there = device.memory_bytes > 0;
    CHECK(device.id == (there ? "cuda:" + std::to_string(entries) : "cuda"));
    CHECK(device.isa.starts_with("sm_") == there);
    if (!there) {
      const bool driver = device.unusable.find("driver") != std::string::npos;
      CHECK((driver || device.unusable == "no device found"));
      const Error error = thrown_by([] { make_backend("cuda", "auto"); });
      CHECK(error.code() == ErrorCode::ENGINE_NO_DEVICE);
      CHECK(std::string(error.what()).find("cuda cannot be used: " + device.unusable) != std::string::npos);
    }
    ++entries;
  }
  CHECK(entries >= 1);
  const Error error = thrown_by([] { make_backend("cuda:99", "auto"); });
  CHECK(error.code() == ErrorCode::ENGINE_NO_DEVICE);
  CHECK(std::string(error.what()).find("found cuda:99") != std::string::npos);
}

TEST_CASE("cuda: versions are told, driver or none") {
  const CudaVersions versions = cuda_versions();
  CHECK(versions.runtime.find('.') != std::string::npos);
  CHECK((versions.driver.empty() || versions.driver.find('.') != std::string::npos));
}

#else

TEST_CASE("cuda: without nvcc nothing is listed, and asking for it says so") {
  MESSAGE(
      "SKIPPED: the CUDA sources were not compiled by nvcc here (none found, or CONVSWEEP_CUDA=off); only emulated");
  for (const DeviceInfo& device : list_devices()) CHECK(device.backend != "cuda");
  CHECK(thrown_by([] { make_backend("cuda:0", "auto"); }).code() == ErrorCode::ENGINE_NO_DEVICE);
}

#endif
