/* Which commands are ordered with each other: by their stream, by events, or by the host that waited between them. Two
 * that nothing orders may run in either order, or at once, so they must not touch the same memory. A run shows one order
 * only; this finds the missing synchronization in whichever that was.
 */
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "../core/block.h"

namespace lathe::emulator {

class Memory;

/** Of each stream (or branch of a graph), the ticket up to which its commands are done. */
class Clock {
 public:
  void merge(const Clock& other);
  void advance(uint64_t stream, uint64_t ticket) { tickets_[stream] = ticket; }
  bool covers(uint64_t stream, uint64_t ticket) const;

 private:
  std::map<uint64_t, uint64_t> tickets_;
};

/** What a command touched: a stretch of memory, or, of a kernel, whatever is marked with these intervals. */
struct Touched {
  uint64_t stream = 0, ticket = 0;
  std::string name;
  std::vector<UnorderedRange> ranges{};
  uint32_t first_interval = 0, end_interval = 0;
};

class History {
 public:
  void add(Touched touched) { done_.push_back(std::move(touched)); }
  /** What nothing orders before a command with this clock. */
  Unordered unordered(const Clock& clock) const;
  /** Drops what every later command comes after. */
  void forget(const Clock& host) { std::erase_if(done_, [&](auto& t) { return host.covers(t.stream, t.ticket); }); }
  /** Drops kernels whose accesses are no longer marked. */
  void forget_kernels() {
    std::erase_if(done_, [](auto& t) { return t.first_interval < t.end_interval; });
  }
  bool empty() const { return done_.empty(); }

 private:
  std::vector<Touched> done_;
};

/** What is wrong with touching `range` beside `unordered`, in words; empty where nothing is. */
std::string collision(const UnorderedRange& range, const Unordered& unordered, const Memory& memory);

}  // namespace lathe::emulator
