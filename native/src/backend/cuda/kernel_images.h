// Which of the compiled kernels run on which device.
//
// Machine code for compute capability X.Y runs on X.Z with Z >= Y; PTX for X.Y is compiled by the driver, at first use,
// for every capability from X.Y on (CUDA C++ Programming Guide, "Binary compatibility", "PTX compatibility").
#pragma once

#include <string>
#include <vector>

namespace convsweep::cuda {

struct KernelImages {
  // Capabilities times ten, ascending: 75, 80, ..., 120.
  std::vector<int> machine_code, ptx;

  // `sm_86`, or `compute_90` where the driver compiles them; empty where none runs.
  std::string for_device(int major, int minor) const;
  // `sm_75`, ..., `compute_120`.
  std::vector<std::string> names() const;
  // The same with commas between.
  std::string list() const;
};

}  // namespace convsweep::cuda
