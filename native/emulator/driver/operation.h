/* What a stream or a graph can be asked to do, as data: it is done later, and in a graph more than once. */
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <variant>
#include <vector>

#include "../core/block.h"
#include "host_work.h"

enum CUresult : int {
#define LATHE_RESULT(VALUE, NAME, TEXT) NAME = VALUE,
#include "results.def"
#undef LATHE_RESULT
};

namespace lathe::emulator {

struct Function;

/** The arguments of one launch, which outlive the call; what is in them doesn't change. */
class Arguments {
 public:
  Arguments(const Kernel& kernel, const void* const* values);
  const void* const* pointers() const { return pointers_.data(); }

 private:
  std::vector<std::max_align_t> bytes_;
  std::vector<const void*> pointers_;
};

struct Launch {
  const Function* function;
  Dim3 grid, block;
  unsigned shared_bytes;
  std::shared_ptr<const Arguments> arguments;
  bool cooperative = false;
};

/** `depth` slices of `height` rows of `width` bytes. */
struct Copy {
  uintptr_t to, from;
  size_t width, height = 1, depth = 1;
  size_t to_pitch = 0, from_pitch = 0;  // bytes from row to row
  size_t to_slice = 0, from_slice = 0;  // bytes from slice to slice
  std::shared_ptr<const std::vector<char>> staged{};  // what a pageable source held; read in place of `from`

  bool empty() const { return width == 0 || height == 0 || depth == 0; }
  size_t to_span() const { return (depth - 1) * to_slice + (height - 1) * to_pitch + width; }
  size_t from_span() const { return (depth - 1) * from_slice + (height - 1) * from_pitch + width; }
};

struct Fill {
  uintptr_t to;
  size_t pitch;  // bytes from row to row
  uint32_t value;
  unsigned element_bytes;
  size_t width, height;  // elements a row, rows

  size_t span() const { return (height - 1) * pitch + width * element_bytes; }
};

struct HostCall {
  void (*function)(void* data);
  void* data;
};

/** What another library of the emulated GPU does (host_work.h). */
struct HostWork {
  const char* what;
  void (*run)(const void* argument);
  std::shared_ptr<const std::vector<char>> argument;
  std::vector<LatheOperand> operands;
};

/** cuStreamAddCallback's. */
struct StreamCallback {
  void (*function)(void* stream, CUresult status, void* data);
  void* stream;
  void* data;
};

struct EventState {
  bool done = true;
  double milliseconds = 0;
};

struct RecordEvent {
  std::shared_ptr<EventState> state;
};

struct Release {
  uintptr_t address;
};

struct Nothing {};

using Operation = std::variant<Nothing, Launch, Copy, Fill, HostCall, HostWork, StreamCallback, RecordEvent, Release>;

}  // namespace lathe::emulator
