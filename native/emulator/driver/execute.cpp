/* Does what a command says, on the driver's thread, when its turn has come. */
#include <algorithm>
#include <chrono>
#include <cstring>

#include "driver.h"
#include "limits.h"

namespace lathe::emulator {

Arguments::Arguments(const Kernel& kernel, const void* const* values) {
  constexpr size_t kUnit = sizeof(std::max_align_t);
  auto slot = [](size_t bytes) { return (bytes + kUnit - 1) / kUnit * kUnit; };
  size_t total = 0;
  for (size_t i = 0; i < kernel.arguments; i++) total += slot(kernel.argument_bytes[i]);
  bytes_.resize(total / kUnit);
  char* next = reinterpret_cast<char*>(bytes_.data());
  for (size_t i = 0; i < kernel.arguments; i++) {
    std::memcpy(next, values[i], kernel.argument_bytes[i]);
    pointers_.push_back(next);
    next += slot(kernel.argument_bytes[i]);
  }
}

namespace {

double now_milliseconds() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/** Lets go of the driver's lock, for work that may take long. */
class Unlocked {
 public:
  explicit Unlocked(std::mutex& mutex) : mutex_(mutex) { mutex_.unlock(); }
  ~Unlocked() { mutex_.lock(); }
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;

 private:
  std::mutex& mutex_;
};

void copy_bytes(Memory& memory, const Copy& copy) {
  uintptr_t from = copy.staged == nullptr ? copy.from : reinterpret_cast<uintptr_t>(copy.staged->data());
  bool on_device = memory.contains(from) && memory.find(copy.to).kind == MemoryKind::kDevice;
  for (size_t z = 0; z < copy.depth; z++)
    for (size_t y = 0; y < copy.height; y++) {
      uintptr_t to = copy.to + z * copy.to_slice + y * copy.to_pitch;
      uintptr_t source = from + z * copy.from_slice + y * copy.from_pitch;
      std::memmove(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(source), copy.width);
      // What wasn't initialized still isn't; but of the host's memory nobody knows what the host writes into it.
      if (on_device)
        std::memmove(memory.state(to), memory.state(source), copy.width);
      else
        memory.mark(to, copy.width, ByteState::kInitialized);
    }
}

template <class T>
void fill_row(uintptr_t to, uint32_t value, size_t count) {
  std::fill_n(reinterpret_cast<T*>(to), count, static_cast<T>(value));
}

}  // namespace

void Driver::fault(Context& context, CUresult result, std::string what) {
  report = std::move(what);
  context.fault = result;
  refuse(result, "%s", report.c_str());
}

void Driver::execute(Context& context, const Command& command, uint64_t stream) {
  if (const auto* record = std::get_if<RecordEvent>(&command.operation)) {
    record->state->milliseconds = now_milliseconds();
    record->state->done = true;
    return;
  }
  if (const auto* callback = std::get_if<StreamCallback>(&command.operation)) {
    CUresult status = context.fault;
    Unlocked unlocked(mutex);
    host_thread.run([&] { callback->function(callback->stream, status, callback->data); });
    return;
  }
  if (context.fault != CUDA_SUCCESS) return;  // nothing runs any more
  if (const auto* launch = std::get_if<Launch>(&command.operation)) {
    execute_launch(context, *launch, command, stream);
  } else if (const auto* copy = std::get_if<Copy>(&command.operation)) {
    execute_copy(context, *copy, command, stream);
  } else if (const auto* fill = std::get_if<Fill>(&command.operation)) {
    execute_fill(context, *fill, command, stream);
  } else if (const auto* call = std::get_if<HostCall>(&command.operation)) {
    Unlocked unlocked(mutex);
    host_thread.run([&] { call->function(call->data); });
  } else if (const auto* work = std::get_if<HostWork>(&command.operation)) {
    execute_host_work(context, *work, command, stream);
  } else if (const auto* release = std::get_if<Release>(&command.operation)) {
    execute_release(context, *release, command, stream);
  }
}

void Driver::execute_launch(Context& context, const Launch& launch, const Command& command, uint64_t stream) {
  const Kernel& kernel = launch.function->kernel;
  if (kernel.checked && runner.unchecked_writes() && !said_unchecked) {
    said_unchecked = true;
    fputs("lathe emulator: kernels without checks have run, so uninitialized reads can't be told any more\n", stderr);
  }
  Unordered unordered = kernel.checked ? history_.unordered(command.clock) : Unordered();
  int resident = resident_blocks(size_t{launch.block.x} * launch.block.y * launch.block.z, launch.shared_bytes);
  Grid grid{.kernel = &kernel,
            .arguments = launch.arguments->pointers(),
            .blocks = launch.grid,
            .threads = launch.block,
            .dynamic_shared_bytes = launch.shared_bytes,
            .most_dynamic_shared_bytes = launch.function->max_dynamic_shared_bytes,
            .resident_blocks = static_cast<size_t>(resident) * kMultiprocessors,
            .module_ranges = &launch.function->module->ranges,
            .unordered = &unordered,
            .sums = sums};
  Outcome outcome;
  {
    Schedule order = schedule.fork();
    Unlocked unlocked(mutex);
    outcome = runner.run(grid, order);
  }
  if (outcome.forgot) history_.forget_kernels();
  if (kernel.checked)
    history_.add({.stream = stream,
                  .ticket = command.ticket,
                  .name = std::string("kernel ") + kernel.name,
                  .first_interval = outcome.first_interval,
                  .end_interval = outcome.end_interval});
  if (outcome.fault.kind != FaultKind::kNone)
    fault(context, result_of(outcome.fault), describe(outcome.fault, grid, memory, schedule.name()));
}

/** Whether `ranges` meet what another stream does at any time; if not, they are kept for those that come. */
bool Driver::collides(Context& context, const std::vector<UnorderedRange>& ranges, const Command& command) {
  Unordered unordered = history_.unordered(command.clock);
  for (const UnorderedRange& range : ranges) {
    if (unordered.empty()) return false;
    if (std::string what = collision(range, unordered, memory); !what.empty()) {
      fault(context, CUDA_ERROR_LAUNCH_FAILED, "race between streams: " + range.name + " " + what);
      return true;
    }
  }
  return false;
}

void Driver::execute_copy(Context& context, const Copy& copy, const Command& command, uint64_t stream) {
  if (copy.empty()) return;
  std::string name = "a copy of " + std::to_string(copy.width * copy.height * copy.depth) + " bytes";
  std::vector<UnorderedRange> ranges{{copy.to, copy.to + copy.to_span(), true, name}};
  if (copy.staged == nullptr) ranges.push_back({copy.from, copy.from + copy.from_span(), false, name});
  if (collides(context, ranges, command)) return;
  {
    Unlocked unlocked(mutex);
    copy_bytes(memory, copy);
  }
  history_.add({.stream = stream, .ticket = command.ticket, .name = name, .ranges = std::move(ranges)});
}

void Driver::execute_fill(Context& context, const Fill& fill, const Command& command, uint64_t stream) {
  if (fill.width == 0 || fill.height == 0) return;
  std::string name = "a fill of " + std::to_string(fill.width * fill.height * fill.element_bytes) + " bytes";
  std::vector<UnorderedRange> ranges{{fill.to, fill.to + fill.span(), true, name}};
  if (collides(context, ranges, command)) return;
  for (size_t y = 0; y < fill.height; y++) {
    uintptr_t to = fill.to + y * fill.pitch;
    if (fill.element_bytes == 1) fill_row<uint8_t>(to, fill.value, fill.width);
    if (fill.element_bytes == 2) fill_row<uint16_t>(to, fill.value, fill.width);
    if (fill.element_bytes == 4) fill_row<uint32_t>(to, fill.value, fill.width);
    memory.mark(to, fill.width * fill.element_bytes, ByteState::kInitialized);
  }
  history_.add({.stream = stream, .ticket = command.ticket, .name = name, .ranges = std::move(ranges)});
}

void Driver::execute_release(Context& context, const Release& release, const Command& command, uint64_t stream) {
  Allocation freed = memory.find(release.address);
  std::vector<UnorderedRange> ranges{{freed.start, freed.start + freed.bytes, true, "cuMemFreeAsync"}};
  if (collides(context, ranges, command)) return;
  releasing.erase(release.address);
  memory.release(release.address);
  history_.add({.stream = stream, .ticket = command.ticket, .name = "cuMemFreeAsync", .ranges = std::move(ranges)});
}

}  // namespace lathe::emulator
