/*
 * A library that behaves as NVIDIA's management library, for tests: one device at 0000:65:00.0. Compiled by fake-nvml.ts,
 * each time as another test wants it:
 *
 *   -DINIT=9        nvmlInit_v2 fails with that status
 *   -DPOWER=3       nvmlDeviceGetPowerUsage fails with that status; so UTILIZATION, MEMORY, TEMPERATURE and HANDLE
 *   -DNO_POWER      there is no such function; so NO_UTILIZATION, NO_MEMORY, NO_HANDLE, NO_INIT, NO_DRIVER, NO_TEXT
 *   -DSLOW=60       nvmlDeviceGetPowerUsage takes so many seconds, as with a driver in trouble
 *   -DOLD           the driver is of before nvmlDeviceGetTemperatureV
 *
 * Declarations as in NVIDIA's nvml.h (CUDA 13.0), written anew, so that a wrong one in nvml.cpp shows.
 */
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_FOUND = 6, ARGUMENT_VERSION_MISMATCH = 25 };

#ifndef INIT
#define INIT SUCCESS
#endif
#ifndef POWER
#define POWER SUCCESS
#endif
#ifndef UTILIZATION
#define UTILIZATION SUCCESS
#endif
#ifndef MEMORY
#define MEMORY SUCCESS
#endif
#ifndef TEMPERATURE
#define TEMPERATURE SUCCESS
#endif
#ifndef HANDLE
#define HANDLE SUCCESS
#endif

typedef struct nvmlDevice_st *nvmlDevice_t;
typedef struct {
  unsigned int gpu;
  unsigned int memory;
} nvmlUtilization_t;
typedef struct {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
} nvmlMemory_t;
typedef struct {
  unsigned int version;
  unsigned int sensorType;
  int temperature;
} nvmlTemperature_t;

static int started = 0;
static char device;

#ifndef NO_INIT
int nvmlInit_v2(void) {
  started = INIT == SUCCESS;
  return INIT;
}
#endif

#ifndef NO_TEXT
const char *nvmlErrorString(int status) { return status == 9 ? "Driver Not Loaded" : "Some Error"; }
#endif

#ifndef NO_DRIVER
int nvmlSystemGetDriverVersion(char *version, unsigned int length) {
  if (!started || length < 80) return INVALID_ARGUMENT;
  strcpy(version, "580.159.04");
  return SUCCESS;
}
#endif

#ifndef NO_HANDLE
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, nvmlDevice_t *handle) {
  if (HANDLE != SUCCESS) return HANDLE;
  if (!started || strcmp(bus, "0000:65:00.0") != 0) return NOT_FOUND;
  *handle = (nvmlDevice_t)&device;
  return SUCCESS;
}
#endif

#ifndef NO_UTILIZATION
int nvmlDeviceGetUtilizationRates(nvmlDevice_t handle, nvmlUtilization_t *rates) {
  if (handle != (nvmlDevice_t)&device) return INVALID_ARGUMENT;
  rates->gpu = 87;
  rates->memory = 12;
  return UTILIZATION;
}
#endif

#ifndef NO_MEMORY
int nvmlDeviceGetMemoryInfo(nvmlDevice_t handle, nvmlMemory_t *memory) {
  if (handle != (nvmlDevice_t)&device) return INVALID_ARGUMENT;
  memory->total = 85520809984ull;
  memory->free = 85520809984ull - 9663676416ull;
  memory->used = 9663676416ull;
  return MEMORY;
}
#endif

#ifndef OLD
int nvmlDeviceGetTemperatureV(nvmlDevice_t handle, nvmlTemperature_t *temperature) {
  if (handle != (nvmlDevice_t)&device || temperature->sensorType != 0) return INVALID_ARGUMENT;
  if (temperature->version != (sizeof *temperature | 1u << 24)) return ARGUMENT_VERSION_MISMATCH;
  temperature->temperature = 61;
  return TEMPERATURE;
}
#endif

int nvmlDeviceGetTemperature(nvmlDevice_t handle, int sensor, unsigned int *degrees) {
  if (handle != (nvmlDevice_t)&device || sensor != 0) return INVALID_ARGUMENT;
  *degrees = 58;
  return TEMPERATURE;
}

#ifndef NO_POWER
int nvmlDeviceGetPowerUsage(nvmlDevice_t handle, unsigned int *milliwatts) {
  if (handle != (nvmlDevice_t)&device) return INVALID_ARGUMENT;
#ifdef SLOW
  sleep(SLOW);
#endif
  *milliwatts = 412345;
  return POWER;
}
#endif
