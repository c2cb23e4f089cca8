/* The order in which blocks and threads run. */
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace lathe::emulator {

/** Which threads of a block can go on. */
class RunnableSet {
 public:
  void add(unsigned index) { words_[index / 64] |= uint64_t{1} << index % 64; }
  void remove(unsigned index) { words_[index / 64] &= ~(uint64_t{1} << index % 64); }
  /** The first one at or after `index`, or -1. */
  int from(unsigned index) const;
  /** The last one at or before `index`, or -1. */
  int down_from(unsigned index) const;
  void clear() { words_.fill(0); }

 private:
  std::array<uint64_t, 1024 / 64> words_{};
};

class Schedule {
 public:
  /** @return whether `text` is "forward", "reverse" or "random:SEED"; where not, nothing changes */
  bool parse(const std::string& text);
  const std::string& name() const { return name_; }

  /** The thread that a block of `count` starts with. */
  int first(const RunnableSet& runnable, unsigned count) {
    return next(runnable, kind_ == Kind::kReverse ? 0 : count - 1, count);
  }
  /** The thread after `current` of `count`, or -1 where none can go on. */
  int next(const RunnableSet& runnable, unsigned current, unsigned count);
  std::vector<unsigned long> block_order(unsigned long blocks);

 private:
  enum class Kind { kForward, kReverse, kRandom };
  Kind kind_ = Kind::kForward;
  std::string name_ = "forward";
  uint64_t random_ = 1;

  uint64_t draw();
};

}  // namespace lathe::emulator
