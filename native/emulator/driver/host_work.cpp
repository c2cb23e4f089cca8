#include "host_work.h"

#include <cstdarg>
#include <cstring>

#include "driver.h"

using namespace lathe::emulator;

namespace {

std::string text(const char* format, ...) __attribute__((format(printf, 1, 2)));

std::string text(const char* format, ...) {
  char report[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(report, sizeof report, format, arguments);
  va_end(arguments);
  return report;
}

struct Problem {
  CUresult result = CUDA_SUCCESS;
  std::string report;
};

Problem check(const Driver& d, const char* what, const LatheOperand& operand) {
  const Memory& memory = d.memory;
  for (size_t line = 0; line < operand.lines; line++) {
    uintptr_t address = operand.address + line * operand.stride_bytes;
    if (!memory.is_allocated(address, operand.line_bytes)) {
      uintptr_t start = 0;
      size_t bytes = 0, inside = 0;
      if (memory.range_of(address, &start, &bytes)) inside = start + bytes - address;
      return {CUDA_ERROR_ILLEGAL_ADDRESS,
              text("%s, operand %s, line %zu: out-of-bounds access: 0x%zx is %s", what, operand.name, line,
                   address + inside, memory.describe(address + inside).c_str())};
    }
    // Kernels without checks leave no note of what they have written.
    if (!operand.reads || d.runner.unchecked_writes()) continue;
    const ByteState* state = memory.state(address);
    const void* unwritten = std::memchr(state, static_cast<int>(ByteState::kAllocated), operand.line_bytes);
    if (unwritten != nullptr)
      return {CUDA_ERROR_LAUNCH_FAILED,
              text("%s, operand %s, line %zu: uninitialized read: nobody has written the byte at 0x%zx", what,
                   operand.name, line, address + (static_cast<const ByteState*>(unwritten) - state))};
  }
  return {};
}

void run_checked(Driver& d, Context& context, const char* what, void (*run)(const void*), const void* argument,
                 const std::vector<LatheOperand>& operands) {
  for (const LatheOperand& operand : operands) {
    Problem problem = check(d, what, operand);
    if (problem.result == CUDA_SUCCESS) continue;
    d.report = problem.report;
    context.fault = problem.result;
    d.refuse(problem.result, "%s", d.report.c_str());
    return;
  }
  run(argument);
  for (const LatheOperand& operand : operands)
    for (size_t line = 0; operand.writes && line < operand.lines; line++)
      d.memory.mark(operand.address + line * operand.stride_bytes, operand.line_bytes, ByteState::kInitialized);
}

}  // namespace

int lathe_emulator_enqueue(void* stream_handle, const char* what, void (*run)(const void* argument),
                           const void* argument, size_t argument_bytes, const LatheOperand* operands,
                           size_t operand_count) {
  return in_context([&](Driver& d, Context& context) {
    Stream* stream = d.stream(context, stream_handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const char* bytes = static_cast<const char*>(argument);
    auto copy = std::make_shared<std::vector<char>>(bytes, bytes + argument_bytes);
    std::vector<LatheOperand> checked(operands, operands + operand_count);
    d.enqueue(*stream, [=, &d, &context, checked = std::move(checked)] {
      run_checked(d, context, what, run, copy->data(), checked);
    });
    return CUDA_SUCCESS;
  });
}
