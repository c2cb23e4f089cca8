/* What tests ask of the emulated GPU beyond CUDA. */
#include "driver.h"

using namespace lathe::emulator;

extern "C" {

const char* lathe_emulator_last_report() {
  static thread_local std::string copy;
  Driver& d = driver();
  std::scoped_lock lock(d.mutex);
  copy = d.report;
  return copy.c_str();
}

void lathe_emulator_clear_report() {
  Driver& d = driver();
  std::scoped_lock lock(d.mutex);
  d.report.clear();
}

int lathe_emulator_set_order(const char* order) {
  Driver& d = driver();
  std::scoped_lock lock(d.mutex);
  return d.schedule.parse(order) ? 0 : 1;
}

int lathe_emulator_set_streams(const char* timing) {
  Driver& d = driver();
  std::scoped_lock lock(d.mutex);
  return d.timing.parse(timing) ? 0 : 1;
}

int lathe_emulator_set_sums(const char* sums) {
  Driver& d = driver();
  std::scoped_lock lock(d.mutex);
  std::optional<Sums> wanted = Sums::parse(sums);
  d.sums = wanted.value_or(d.sums);
  return wanted.has_value() ? 0 : 1;
}
}
