/* Fills large stretches of memory with one byte, and takes memory only for the pages that are written afterwards: a pool
 * of many gigabytes must not cost the machine that much.
 */
#pragma once
#include <cstddef>
#include <cstdint>

namespace lathe::emulator {

/** Private, zeroed, and free of cost until it is touched. */
void* reserve_pages(size_t bytes);

class PoisonPages {
 public:
  explicit PoisonPages(uint8_t value) : value_(value) {}
  ~PoisonPages();
  PoisonPages(const PoisonPages&) = delete;
  PoisonPages& operator=(const PoisonPages&) = delete;

  /** Fills [address, address + bytes), whole pages that reserve_pages() gave. */
  void fill(uintptr_t address, size_t bytes);
  /** Back to zeros that cost nothing. */
  static void clear(uintptr_t address, size_t bytes);

 private:
  static constexpr size_t kFileBytes = 16 << 20;

  uint8_t value_;
  int file_ = -1;  // of kFileBytes, all of them value_; made when first needed
};

}  // namespace lathe::emulator
