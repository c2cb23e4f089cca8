/* What other streams have done without anything that orders it before a kernel: the kernel must not touch the same. */
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace lathe::emulator {

/** Memory that a copy or a fill touched. */
struct UnorderedRange {
  uintptr_t low, high;
  bool written;
  std::string name;
};

/** A checked kernel: its accesses are marked with these intervals. */
struct UnorderedKernel {
  uint32_t first_interval, end_interval;
  std::string name;

  bool has(uint32_t interval) const { return interval >= first_interval && interval < end_interval; }
};

struct Unordered {
  std::vector<UnorderedRange> ranges{};
  std::vector<UnorderedKernel> kernels{};

  bool empty() const { return ranges.empty() && kernels.empty(); }
};

}  // namespace lathe::emulator
