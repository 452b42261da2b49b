// What NVIDIA's management library (NVML) says of devices: how busy they are, memory, temperature, power; and the
// driver.
//
// Guarantees: the library is looked for at run time and never linked. Without it, with one that lacks functions, or
// where a call fails, what cannot be known is absent and nothing throws. Safe from several threads. A library once
// loaded stays so for the life of the process. A call takes milliseconds, with a driver in trouble for ever: not for a
// thread that others wait for.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace convsweep::telemetry {

// What a device said of itself just now; of what it could not say, nothing.
struct DeviceUse {
  // Share of the driver's last sample period (1/6 to 1 s) in which a kernel ran: 0 to 1.
  std::optional<double> utilization;
  // Bytes; of all processes and the driver together.
  std::optional<std::uint64_t> memory_used, memory_total;
  // Of the chip, degrees Celsius.
  std::optional<double> temperature;
  // Of the whole board, watts.
  std::optional<double> power;
};

class Nvml {
 public:
  // The library in that file, or of that name where the loader looks. Opened once a process.
  static Nvml& open(const std::string& library);
  // CONVSWEEP_NVML if set, else the driver's own, `libnvidia-ml.so.1`.
  static std::string usual_library();

  virtual ~Nvml() = default;
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  // Why nothing is known, in one sentence; empty if the library works.
  virtual const std::string& trouble() const = 0;
  // `580.159.04`; empty if unknown.
  virtual std::string driver_version() const = 0;
  // `bus` as CUDA writes it, `0000:65:00.0`.
  virtual DeviceUse use(const std::string& bus) = 0;

 protected:
  Nvml() = default;
};

}  // namespace convsweep::telemetry
