/* What the caller of the driver API holds by address. */
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "../core/block.h"
#include "operation.h"
#include "ordering.h"

namespace lathe::emulator {

struct Capture;
struct Context;
struct GraphNode;
struct Module;

/** A point in a stream: all that was put into it up to `ticket`. */
struct StreamPoint {
  uint64_t stream = 0;
  uint64_t ticket = 0;
};

struct Command {
  uint64_t ticket;
  std::vector<StreamPoint> after;
  Clock clock;  // all that is known to be done before it
  Operation operation;
};

struct Stream {
  uint64_t id = 0;
  Context* context = nullptr;
  bool blocking = true;  // ordered with the default stream
  unsigned flags = 0;
  int priority = 0;
  bool closed = false;  // a branch of a graph that runs: goes when it is empty
  bool running = false;  // the first command runs now
  std::deque<Command> commands{};
  Clock clock{};  // what is done when all its commands are
  Capture* capture = nullptr;
  std::vector<GraphNode*> capture_front{};  // what its next node depends on
};

struct Event {
  Context* context;
  bool timed;
  bool recorded = false;
  StreamPoint point{};
  Clock clock{};
  std::shared_ptr<EventState> state = std::make_shared<EventState>();  // outlives the event while its record is pending
  bool captured = false;  // last recorded in a capture
  Capture* capture = nullptr;  // that one, while it lasts
  std::vector<GraphNode*> capture_front{};
};

struct Function {
  Kernel kernel;
  Module* module;
  size_t max_dynamic_shared_bytes = 48 << 10;
  int carveout_percent = -1;
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

/** All pools take from the device's memory directly, and give back at once. */
struct Pool {
  Context* context;
};

struct Context {
  CUresult fault = CUDA_SUCCESS;  // sticky: nothing works in this context after a kernel's fault
  unsigned flags = 0;
  Stream default_stream{};
};

/** Objects by their addresses; an address that isn't one of them is an invalid handle. */
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
  /** The object, or null. */
  T* find(const void* handle) const {
    auto found = objects_.find(handle);
    return found == objects_.end() ? nullptr : found->second.get();
  }
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

}  // namespace lathe::emulator
