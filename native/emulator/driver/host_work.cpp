#include "host_work.h"

#include <cstdarg>
#include <cstring>

#include "driver.h"

using namespace lathe::emulator;

namespace lathe::emulator {

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
      Allocation at = memory.find(address);
      size_t inside = at.bytes == 0 ? 0 : at.start + at.bytes - address;
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

}  // namespace

void Driver::execute_host_work(Context& context, const HostWork& work, const Command& command, uint64_t stream) {
  std::vector<UnorderedRange> ranges;
  for (const LatheOperand& operand : work.operands) {
    Problem problem = check(*this, work.what, operand);
    if (problem.result != CUDA_SUCCESS) return fault(context, problem.result, std::move(problem.report));
    if (operand.lines == 0) continue;
    uintptr_t end = operand.address + (operand.lines - 1) * operand.stride_bytes + operand.line_bytes;
    ranges.push_back({operand.address, end, operand.writes != 0, work.what});
  }
  if (collides(context, ranges, command)) return;
  mutex.unlock();  // it may take long
  work.run(work.argument->data());
  mutex.lock();
  for (const LatheOperand& operand : work.operands)
    for (size_t line = 0; operand.writes && line < operand.lines; line++)
      memory.mark(operand.address + line * operand.stride_bytes, operand.line_bytes, ByteState::kInitialized);
  history_.add({.stream = stream, .ticket = command.ticket, .name = work.what, .ranges = std::move(ranges)});
}

}  // namespace lathe::emulator

int lathe_emulator_enqueue(void* stream_handle, const char* what, void (*run)(const void* argument),
                           const void* argument, size_t argument_bytes, const LatheOperand* operands,
                           size_t operand_count) {
  return in_context([&](Driver& d, Context& context) {
    const char* bytes = static_cast<const char*>(argument);
    return submit(d, context, stream_handle, what,
                  HostWork{.what = what,
                           .run = run,
                           .argument = std::make_shared<const std::vector<char>>(bytes, bytes + argument_bytes),
                           .operands = {operands, operands + operand_count}});
  });
}
