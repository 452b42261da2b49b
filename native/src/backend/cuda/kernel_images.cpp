#include "backend/cuda/kernel_images.h"

#include <algorithm>

namespace convsweep::cuda {

std::string KernelImages::for_device(int major, int minor) const {
  const int capability = 10 * major + minor;
  const auto runs = [&](int image) { return image / 10 == major && image <= capability; };
  const auto native = std::find_if(machine_code.rbegin(), machine_code.rend(), runs);
  if (native != machine_code.rend()) return "sm_" + std::to_string(*native);
  const auto compiled = std::find_if(ptx.rbegin(), ptx.rend(), [&](int image) { return image <= capability; });
  return compiled == ptx.rend() ? "" : "compute_" + std::to_string(*compiled);
}

std::vector<std::string> KernelImages::names() const {
  std::vector<std::string> names;
  for (const int image : machine_code) names.push_back("sm_" + std::to_string(image));
  for (const int image : ptx) names.push_back("compute_" + std::to_string(image));
  return names;
}

std::string KernelImages::list() const {
  std::string text;
  for (const std::string& name : names()) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace convsweep::cuda
