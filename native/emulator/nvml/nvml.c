/* libnvidia-ml.so.1 with made-up readings, for the tests of the calls and of nothing else: two devices, of which the second
 * has no sensors beyond its memory. Values and signatures as in nvml.h.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define API __attribute__((visibility("default")))

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };

static int users;
static int devices[2];  /* only their addresses count */
static unsigned long long energy = 5000;

static int check(const int* device) {
  if (users == 0) return UNINITIALIZED;
  return device == &devices[0] || device == &devices[1] ? SUCCESS : INVALID_ARGUMENT;
}

static int sensor(const int* device) {
  int result = check(device);
  return result != SUCCESS ? result : device == &devices[0] ? SUCCESS : NOT_SUPPORTED;
}

static int text(char* to, unsigned length, const char* value) {
  if (strlen(value) >= length) return INSUFFICIENT_SIZE;
  strcpy(to, value);
  return SUCCESS;
}

API int nvmlInit_v2(void) {
  users++;
  return SUCCESS;
}

API int nvmlShutdown(void) {
  if (users == 0) return UNINITIALIZED;
  users--;
  return SUCCESS;
}

API const char* nvmlErrorString(int result) { return result == NOT_FOUND ? "Not Found" : "Another Error"; }

API int nvmlSystemGetDriverVersion(char* version, unsigned length) { return text(version, length, "580.1.2"); }

API int nvmlDeviceGetHandleByIndex_v2(unsigned index, int** device) {
  if (users == 0) return UNINITIALIZED;
  if (index > 1) return INVALID_ARGUMENT;
  *device = &devices[index];
  return SUCCESS;
}

API int nvmlDeviceGetHandleByPciBusId_v2(const char* bus, int** device) {
  if (strcmp(bus, "0000:01:00.0") == 0) return nvmlDeviceGetHandleByIndex_v2(0, device);
  if (strcmp(bus, "0000:02:00.0") == 0) return nvmlDeviceGetHandleByIndex_v2(1, device);
  return NOT_FOUND;
}

API int nvmlDeviceGetName(int* device, char* name, unsigned length) {
  int result = check(device);
  return result != SUCCESS ? result : text(name, length, device == devices ? "First" : "Second");
}

API int nvmlDeviceGetMemoryInfo(int* device, unsigned long long* total_free_used) {
  int result = check(device);
  if (result != SUCCESS) return result;
  total_free_used[0] = 1000;
  total_free_used[1] = 700;
  total_free_used[2] = 300;
  return SUCCESS;
}

API int nvmlDeviceGetClockInfo(int* device, unsigned type, unsigned* megahertz) {
  static const unsigned values[] = {1100, 1200, 2600, 1000}; /* graphics, SM, memory, video */
  if (type > 3) return INVALID_ARGUMENT;
  *megahertz = values[type];
  return sensor(device);
}

API int nvmlDeviceGetMaxClockInfo(int* device, unsigned type, unsigned* megahertz) {
  static const unsigned values[] = {1980, 1981, 2619, 1545};
  if (type > 3) return INVALID_ARGUMENT;
  *megahertz = values[type];
  return sensor(device);
}

API int nvmlDeviceGetTemperature(int* device, unsigned type, unsigned* celsius) {
  if (type != 0) return INVALID_ARGUMENT;
  *celsius = 41;
  return sensor(device);
}

API int nvmlDeviceGetPowerUsage(int* device, unsigned* milliwatts) {
  *milliwatts = 123456;
  return sensor(device);
}

API int nvmlDeviceGetEnforcedPowerLimit(int* device, unsigned* milliwatts) {
  *milliwatts = 700000;
  return sensor(device);
}

/* Each reading is 250 mJ on from the one before. */
API int nvmlDeviceGetTotalEnergyConsumption(int* device, unsigned long long* millijoules) {
  int result = sensor(device);
  if (result == SUCCESS) *millijoules = energy += 250;
  return result;
}

API int nvmlDeviceGetUtilizationRates(int* device, unsigned* gpu_memory) {
  gpu_memory[0] = 97;
  gpu_memory[1] = 64;
  return sensor(device);
}
