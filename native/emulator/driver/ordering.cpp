#include "ordering.h"

#include <algorithm>
#include <cstdio>

#include "../core/memory.h"

namespace lathe::emulator {

void Clock::merge(const Clock& other) {
  for (auto [stream, ticket] : other.tickets_) {
    uint64_t& mine = tickets_[stream];
    mine = std::max(mine, ticket);
  }
}

bool Clock::covers(uint64_t stream, uint64_t ticket) const {
  auto found = tickets_.find(stream);
  return found != tickets_.end() && found->second >= ticket;
}

Unordered History::unordered(const Clock& clock) const {
  Unordered found;
  for (const Touched& touched : done_) {
    if (clock.covers(touched.stream, touched.ticket)) continue;
    found.ranges.insert(found.ranges.end(), touched.ranges.begin(), touched.ranges.end());
    if (touched.first_interval < touched.end_interval)
      found.kernels.push_back({touched.first_interval, touched.end_interval, touched.name});
  }
  return found;
}

std::string collision(const UnorderedRange& range, const Unordered& unordered, const Memory& memory) {
  auto text = [&](uintptr_t address, const char* verb, const std::string& who) {
    char line[400];
    snprintf(line, sizeof line,
             "%s 0x%zx, and %s %s it, which neither an event nor the host orders", range.written ? "writes" : "reads",
             address, who.c_str(), verb);
    return std::string(line);
  };
  for (const UnorderedRange& other : unordered.ranges)
    if (range.low < other.high && other.low < range.high && (range.written || other.written))
      return text(std::max(range.low, other.low), other.written ? "writes" : "reads", other.name);
  if (unordered.kernels.empty() || !memory.contains(range.low)) return "";
  for (uintptr_t address = range.low; address < range.high; address++) {
    const Shadow& shadow = *memory.shadow(address);
    for (const UnorderedKernel& kernel : unordered.kernels) {
      if (kernel.has(shadow.writer.interval)) return text(address, "writes", kernel.name);
      if (range.written && kernel.has(shadow.reader.interval)) return text(address, "reads", kernel.name);
    }
  }
  return "";
}

}  // namespace lathe::emulator
