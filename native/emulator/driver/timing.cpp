#include "timing.h"

#include "../core/random.h"

namespace lathe::emulator {

bool Timing::parse(const std::string& text) {
  if (text == "late") {
    kind_ = Kind::kLate;
  } else if (text == "concurrent") {
    kind_ = Kind::kConcurrent;
  } else if (auto seed = random_seed(text)) {
    kind_ = Kind::kRandom;
    random_ = *seed;
  } else {
    return false;
  }
  return true;
}

unsigned Timing::draw(unsigned count) { return static_cast<unsigned>(emulator::draw(random_) % count); }

}  // namespace lathe::emulator
