/* The state behind the driver API. One lock covers all of it; kernels run on a thread of the driver's own. */
#pragma once
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "../core/block.h"
#include "../core/memory.h"
#include "../core/schedule.h"

#define LATHE_DRIVER extern "C" __attribute__((visibility("default")))

enum CUresult : int {
#define LATHE_RESULT(VALUE, NAME, TEXT) NAME = VALUE,
#include "results.def"
#undef LATHE_RESULT
};
using CUdevice = int;
using CUdeviceptr = uintptr_t;

namespace lathe::emulator {

/** A thread that isn't the JVM's: kernels switch stacks, which the JVM would take for a fault of its own. */
class DeviceThread {
 public:
  DeviceThread();
  /** Runs `work` there, and waits for it. */
  void run(const std::function<void()>& work);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  const std::function<void()>* work_ = nullptr;
};

/** A point in a stream: all that was put into it up to `ticket`. */
struct StreamPoint {
  uint64_t stream = 0;
  uint64_t ticket = 0;
};

struct Command {
  uint64_t ticket;
  std::vector<StreamPoint> after;
  std::function<void()> run;
};

struct Context;

struct Stream {
  uint64_t id;
  Context* context;
  bool blocking;  // ordered with the default stream
  unsigned flags;
  std::deque<Command> commands;
};

struct Event {
  struct State {
    bool done = true;
    double milliseconds = 0;
  };
  Context* context;
  bool timed;
  bool recorded = false;
  StreamPoint point;
  std::shared_ptr<State> state = std::make_shared<State>();  // outlives the event while its record is pending
};

struct Module;

struct Function {
  Kernel kernel;
  Module* module;
  size_t max_dynamic_shared_bytes = 48 << 10;
};

/** A loaded image. Its file stays open with it: dlopen knows libraries by their path, and that is /proc/self/fd/N. */
struct CloseLibrary {
  int file = -1;
  void operator()(void* library) const;
};
using Library = std::unique_ptr<void, CloseLibrary>;

struct Module {
  Context* context;
  Library library;
  std::map<std::string, Function> functions;
  std::vector<AddressRange> ranges;
};

struct Context {
  CUresult fault = CUDA_SUCCESS;  // sticky: nothing works in this context after a kernel's fault
  Stream default_stream;
};

/** Objects that the caller holds by address; an address that isn't one of them is an invalid handle. */
template <class T>
class Handles {
 public:
  T* add(T value) {
    auto owned = std::make_unique<T>(std::move(value));
    T* handle = owned.get();
    objects_[handle] = std::move(owned);
    return handle;
  }
  bool has(const void* handle) const { return objects_.contains(handle); }
  void remove(const void* handle) { objects_.erase(handle); }
  template <class Predicate>
  void remove_if(Predicate predicate) {
    std::erase_if(objects_, [&](auto& entry) { return predicate(*entry.second); });
  }
  template <class Visitor>
  void each(Visitor visitor) {
    for (auto& [handle, object] : objects_) visitor(*object);
  }

 private:
  std::map<const void*, std::unique_ptr<T>> objects_;
};

struct Driver {
  std::mutex mutex;
  bool initialized = false;
  Memory memory;
  DeviceThread device;
  BlockRunner runner{&memory};
  Schedule schedule;
  std::string report;
  bool said_unchecked = false;

  Handles<Context> contexts;
  Handles<Stream> streams;
  Handles<Event> events;
  Handles<Module> modules;
  Context* primary = nullptr;
  unsigned primary_users = 0;
  unsigned primary_flags = 0;
  uint64_t tickets = 0;
  uint64_t stream_ids = 0;

  Driver();

  Context* create_context();
  void destroy_context(Context* context);
  Stream* stream(Context& context, void* handle);
  Function* function(const void* handle);

  // Streams run as late as the caller's synchronization allows, so that what forgets to synchronize shows.
  StreamPoint enqueue(Stream& stream, std::function<void()> run, std::vector<StreamPoint> after = {});
  void run_until(StreamPoint point);
  void finish(Stream& stream);
  void finish_all();

  /** Prints what a call was refused for, and returns the result that stands for it. */
  CUresult refuse(CUresult result, const char* format, ...) __attribute__((format(printf, 3, 4)));

 private:
  void run_until_here(StreamPoint point);
  Stream* stream_by_id(uint64_t id);
};

Driver& driver();

/** The contexts that this thread has pushed; the last is current. */
std::vector<Context*>& context_stack();

std::string describe(const Fault& fault, const Grid& grid, const Memory& memory, const std::string& schedule);
CUresult result_of(const Fault& fault);

/** Runs an API function's body where a context is current and sound, under the driver's lock. */
template <class Body>
CUresult in_context(Body body) {
  Driver& d = driver();
  std::scoped_lock lock(d.mutex);
  if (!d.initialized) return CUDA_ERROR_NOT_INITIALIZED;
  auto& stack = context_stack();
  if (stack.empty() || !d.contexts.has(stack.back())) return CUDA_ERROR_INVALID_CONTEXT;
  Context& context = *stack.back();
  if (context.fault != CUDA_SUCCESS) return context.fault;
  try {
    return body(d, context);
  } catch (const std::bad_alloc&) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
}

/** The same where no context is needed. */
template <class Body>
CUresult in_driver(Body body) {
  Driver& d = driver();
  std::scoped_lock lock(d.mutex);
  return d.initialized ? body(d) : CUDA_ERROR_NOT_INITIALIZED;
}

}  // namespace lathe::emulator
