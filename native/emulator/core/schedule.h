/* The order in which blocks and threads run. */
#pragma once
#include <array>
#include <bit>
#include <cstdint>
#include <string>
#include <vector>

namespace lathe::emulator {

/** Which threads of a block can go on. */
class RunnableSet {
 public:
  void add(unsigned index) { words_[index / 64] |= uint64_t{1} << index % 64; }
  void remove(unsigned index) { words_[index / 64] &= ~(uint64_t{1} << index % 64); }
  void add_lanes(unsigned warp, uint32_t lanes) { words_[warp / 2] |= uint64_t{lanes} << warp % 2 * 32; }
  uint32_t lanes(unsigned warp) const { return static_cast<uint32_t>(words_[warp / 2] >> warp % 2 * 32); }
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
  /** @return whether `text` is "parallel", "forward", "reverse" or "random:SEED"; where not, nothing changes */
  bool parse(const std::string& text);
  const std::string& name() const { return name_; }

  /** Blocks run on all cores at once; in any other order, one after another, the same way every time. */
  bool parallel() const { return kind_ == Kind::kParallel; }
  bool random() const { return kind_ == Kind::kRandom; }

  /** The schedule of one launch, or of one block of it: random ones differ, and not with what ran in others. */
  Schedule fork() {
    Schedule child = *this;
    if (random()) child.random_ = draw();
    return child;
  }
  Schedule of_block(unsigned long block) const;

  /** The thread that a block of `count` starts with. */
  int first(const RunnableSet& runnable, unsigned count) {
    return next(runnable, kind_ == Kind::kReverse ? 0 : count - 1, count);
  }
  /** The thread after `current` of `count`, or -1 where none can go on. */
  int next(const RunnableSet& runnable, unsigned current, unsigned count);
  /** The same, but a lane of the same warp where one can go on: stacks that were used last are in the cache. */
  int next_near(const RunnableSet& runnable, unsigned current, unsigned count) {
    uint32_t lanes = runnable.lanes(current / 32);
    if (lanes == 0 || kind_ == Kind::kRandom) return next(runnable, current, count);
    unsigned first = current & ~31u, lane = current & 31u;
    if (kind_ == Kind::kReverse) {
      uint32_t below = lanes & ((uint32_t{1} << lane) - 1);
      return static_cast<int>(first + 31 - static_cast<unsigned>(std::countl_zero(below != 0 ? below : lanes)));
    }
    uint32_t above = lanes & (~uint32_t{1} << lane);
    return static_cast<int>(first + static_cast<unsigned>(std::countr_zero(above != 0 ? above : lanes)));
  }
  /** Empty where blocks begin in the order of their numbers. */
  std::vector<unsigned long> block_order(unsigned long blocks);

 private:
  enum class Kind { kParallel, kForward, kReverse, kRandom };
  Kind kind_ = Kind::kParallel;
  std::string name_ = "parallel";
  uint64_t random_ = 1;

  uint64_t draw();
};

}  // namespace lathe::emulator
