/* When the commands of a stream run, after the call that put them there. */
#pragma once
#include <cstdint>
#include <string>

namespace lathe::emulator {

class Timing {
 public:
  enum class Kind {
    kLate,        // when somebody waits for them, and not before: what forgets to wait reads what was there before
    kRandom,      // some, of any stream, at every call; the same for the same seed
    kConcurrent,  // as soon as they can, while the host goes on
  };

  /** @return whether `text` is "late", "random:SEED" or "concurrent"; where not, nothing changes */
  bool parse(const std::string& text);
  Kind kind() const { return kind_; }
  /** A number below `count`, of the seed's sequence. */
  unsigned draw(unsigned count);

 private:
  Kind kind_ = Kind::kLate;
  uint64_t random_ = 1;
};

}  // namespace lathe::emulator
