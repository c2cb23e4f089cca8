#include "schedule.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

#include "random.h"

namespace lathe::emulator {

int RunnableSet::from(unsigned index) const {
  if (index >= 1024) return -1;
  for (unsigned word = index / 64; word < words_.size(); word++) {
    uint64_t bits = words_[word];
    if (word == index / 64) bits &= ~uint64_t{0} << index % 64;
    if (bits != 0) return static_cast<int>(word * 64 + std::countr_zero(bits));
  }
  return -1;
}

int RunnableSet::down_from(unsigned index) const {
  for (int word = static_cast<int>(index / 64); word >= 0; word--) {
    uint64_t bits = words_[word];
    if (word == static_cast<int>(index / 64)) bits &= ~uint64_t{0} >> (63 - index % 64);
    if (bits != 0) return word * 64 + 63 - std::countl_zero(bits);
  }
  return -1;
}

bool Schedule::parse(const std::string& text) {
  if (text == "parallel") {
    kind_ = Kind::kParallel;
  } else if (text == "forward") {
    kind_ = Kind::kForward;
  } else if (text == "reverse") {
    kind_ = Kind::kReverse;
  } else if (auto seed = random_seed(text)) {
    kind_ = Kind::kRandom;
    random_ = *seed;
  } else {
    return false;
  }
  name_ = text;
  return true;
}

uint64_t Schedule::draw() { return emulator::draw(random_); }

Schedule Schedule::of_block(unsigned long block) const {
  Schedule child = *this;
  child.random_ ^= (block + 1) * 0x9e3779b97f4a7c15;
  return child;
}

int Schedule::next(const RunnableSet& runnable, unsigned current, unsigned count) {
  if (kind_ == Kind::kReverse) {
    int found = current == 0 ? -1 : runnable.down_from(current - 1);
    return found >= 0 ? found : runnable.down_from(count - 1);
  }
  int found = runnable.from(kind_ == Kind::kRandom ? static_cast<unsigned>(draw() % count) : current + 1);
  return found >= 0 ? found : runnable.from(0);
}

std::vector<unsigned long> Schedule::block_order(unsigned long blocks) {
  if (kind_ == Kind::kParallel || kind_ == Kind::kForward) return {};
  std::vector<unsigned long> order(blocks);
  std::iota(order.begin(), order.end(), 0ul);
  if (kind_ == Kind::kReverse) std::reverse(order.begin(), order.end());
  if (kind_ == Kind::kRandom)
    for (unsigned long i = blocks; i > 1; i--) std::swap(order[i - 1], order[draw() % i]);
  return order;
}

}  // namespace lathe::emulator
