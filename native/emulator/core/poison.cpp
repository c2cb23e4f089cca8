#include "poison.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace lathe::emulator {

void* reserve_pages(size_t bytes) {
  void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  madvise(mapped, bytes, MADV_DONTDUMP);  // advice only: a core file with 18 TiB of holes helps nobody
  return mapped;
}

PoisonPages::~PoisonPages() {
  if (file_ >= 0) close(file_);
}

void PoisonPages::fill(uintptr_t address, size_t bytes) {
  if (bytes < 2 * kFileBytes) {
    std::memset(reinterpret_cast<void*>(address), value_, bytes);
    return;
  }
  if (file_ < 0) {
    int file = memfd_create("lathe-poison", MFD_CLOEXEC);
    if (file < 0) throw std::bad_alloc();
    void* content = MAP_FAILED;
    if (ftruncate(file, kFileBytes) == 0)
      content = mmap(nullptr, kFileBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (content == MAP_FAILED) {
      close(file);
      throw std::bad_alloc();
    }
    std::memset(content, value_, kFileBytes);
    munmap(content, kFileBytes);
    file_ = file;
  }
  for (size_t done = 0; done < bytes; done += kFileBytes) {
    void* mapped = mmap(reinterpret_cast<void*>(address + done), std::min(kFileBytes, bytes - done),
                        PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, file_, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
  }
}

void PoisonPages::clear(uintptr_t address, size_t bytes) {
  void* start = reinterpret_cast<void*>(address);
  if (bytes < 2 * kFileBytes) {
    madvise(start, bytes, MADV_DONTNEED);  // of a private anonymous page: it reads as zeros then
    return;
  }
  void* mapped = mmap(start, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
}

}  // namespace lathe::emulator
