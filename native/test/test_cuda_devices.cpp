// What the engine says of CUDA: compiled in or not, with a driver or without, it starts and answers.
#include <string>

#include "backend/registry.h"
#if defined(CONVSWEEP_WITH_CUDA)
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/kernel_images.h"
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
    CHECK(device.capability.empty() != there);
    CHECK(device.bus.empty() != there);
    if (!there) {
      CHECK(device.unusable.find("driver") != std::string::npos);
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
  const CudaSupport support = cuda_support();
  CHECK(support.built);
  CHECK(support.runtime.find('.') != std::string::npos);
  CHECK((support.driver.empty() || support.driver.find('.') != std::string::npos));
  CHECK(support.kernels.size() >= 2);
}

TEST_CASE("cuda: the kernels that run on a device, by NVIDIA's rules of compatibility") {
  const cuda::KernelImages images{{75, 80, 86, 89, 90, 120}, {90, 120}};
  // Devices that there are, of each generation: P100, V100, T4, A100, A10, Orin, L4, H100, B200, B300, Thor, RTX 5090,
  // GB10.
  CHECK(images.for_device(6, 0) == "");
  CHECK(images.for_device(7, 0) == "");
  CHECK(images.for_device(7, 5) == "sm_75");
  CHECK(images.for_device(8, 0) == "sm_80");
  CHECK(images.for_device(8, 6) == "sm_86");
  CHECK(images.for_device(8, 7) == "sm_86");
  CHECK(images.for_device(8, 9) == "sm_89");
  CHECK(images.for_device(9, 0) == "sm_90");
  CHECK(images.for_device(10, 0) == "compute_90");
  CHECK(images.for_device(10, 3) == "compute_90");
  CHECK(images.for_device(11, 0) == "compute_90");
  CHECK(images.for_device(12, 0) == "sm_120");
  CHECK(images.for_device(12, 1) == "sm_120");
  // One that there is not yet.
  CHECK(images.for_device(13, 0) == "compute_120");
  CHECK(images.list() == "sm_75, sm_80, sm_86, sm_89, sm_90, sm_120, compute_90, compute_120");
  // A build for one device alone.
  const cuda::KernelImages one{{86}, {86}};
  CHECK(one.for_device(8, 0) == "");
  CHECK(one.for_device(8, 9) == "sm_86");
  CHECK(one.for_device(9, 0) == "compute_86");
}

#else

TEST_CASE("cuda: without nvcc nothing is listed, and asking for it says so") {
  MESSAGE(
      "SKIPPED: the CUDA sources were not compiled by nvcc here (none found, or CONVSWEEP_CUDA=off); only emulated");
  for (const DeviceInfo& device : list_devices()) CHECK(device.backend != "cuda");
  CHECK_FALSE(cuda_support().built);
  CHECK(cuda_support().kernels.empty());
  CHECK(thrown_by([] { make_backend("cuda:0", "auto"); }).code() == ErrorCode::ENGINE_NO_DEVICE);
}

#endif
