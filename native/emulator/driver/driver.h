/* The state behind the driver API. One lock covers it; commands run without it, on a thread of the driver's own. */
#pragma once
#include <condition_variable>
#include <map>
#include <mutex>
#include <new>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "../core/grid.h"
#include "../core/memory.h"
#include "../core/schedule.h"
#include "capture.h"
#include "graph.h"
#include "host_thread.h"
#include "objects.h"
#include "timing.h"

#define LATHE_DRIVER extern "C" __attribute__((visibility("default")))

using CUdevice = int;
using CUdeviceptr = uintptr_t;

namespace lathe::emulator {

struct Driver {
  std::mutex mutex;
  bool initialized = false;
  Memory memory;
  GridRunner runner{&memory};
  HostThread host_thread;
  Schedule schedule;
  Timing timing;
  Sums sums;
  std::string report;
  bool said_unchecked = false;

  Handles<Context> contexts;
  Handles<Stream> streams;  // beside the contexts' default streams; added and removed by the functions below
  Handles<Event> events;
  Handles<Module> modules;
  Handles<Pool> pools;
  Handles<Graph> graphs;
  Handles<GraphNode> nodes;
  Handles<GraphExec> executables;
  Handles<Capture> captures;
  std::set<uintptr_t> releasing;  // memory that a stream will free
  Context* primary = nullptr;
  unsigned primary_users = 0;
  unsigned primary_flags = 0;

  Driver();

  Stream* add_stream(Context& context, bool blocking, unsigned flags, int priority);
  void remove_stream(Stream* stream);
  Context* create_context();
  void destroy_context(Context* context);
  /** The stream behind a handle; 0 and the two special handles are the default stream. Null: not a stream. */
  Stream* stream(Context& context, void* handle);
  Function* function(const void* handle);
  uint64_t new_id() { return ++ids_; }

  /** Puts a command into a stream; it runs when the timing lets it, or when somebody waits for it. */
  StreamPoint enqueue(Stream& stream, Operation operation, const std::vector<StreamPoint>& after = {},
                      const Clock& known = {});
  /** Waits; the host's later commands come after it. */
  void wait(StreamPoint point, const Clock& clock);
  void finish(Stream& stream);
  void finish_all();
  bool done(StreamPoint point);
  /** A stream of a graph's own, for one launch; once closed, it goes when it is empty. */
  Stream& branch(Context& context);
  void close_branch(Stream& branch);

  /** Prints what a call was refused for, and returns the result that stands for it. */
  CUresult refuse(CUresult result, const char* format, ...) __attribute__((format(printf, 3, 4)));

 private:
  std::map<uint64_t, Stream*> all_streams_;  // by id, the default ones too
  std::condition_variable_any changed_;
  std::vector<StreamPoint> wanted_;
  unsigned free_commands_ = 0;  // that may run though nobody wants them yet
  uint64_t tickets_ = 0;
  uint64_t ids_ = 0;
  Clock host_;  // what the host has waited for
  History history_;

  void serve();
  Stream* choose();
  Stream* choose_wanted();
  Stream* first_ready(StreamPoint point);
  bool ready(const Stream& stream);
  void run_first(Stream& stream);
  void execute(Context& context, const Command& command, uint64_t stream);
  void execute_launch(Context& context, const Launch& launch, const Command& command, uint64_t stream);
  void execute_copy(Context& context, const Copy& copy, const Command& command, uint64_t stream);
  void execute_fill(Context& context, const Fill& fill, const Command& command, uint64_t stream);
  void execute_host_work(Context& context, const HostWork& work, const Command& command, uint64_t stream);
  void execute_release(Context& context, const Release& release, const Command& command, uint64_t stream);
  void forget_order();
  bool collides(Context& context, const std::vector<UnorderedRange>& ranges, const Command& command);
  void fault(Context& context, CUresult result, std::string report);
};

Driver& driver();

/** The contexts that this thread has pushed; the last is current. */
std::vector<Context*>& context_stack();

/** Whether this thread runs a function of the host's that a stream calls: it may not use the API. */
bool& in_host_function();

std::string describe(const Fault& fault, const Grid& grid, const Memory& memory, const std::string& schedule);
CUresult result_of(const Fault& fault);

/** Runs an API function's body under the driver's lock. */
template <class Body>
CUresult in_driver(Body body) {
  if (in_host_function()) return CUDA_ERROR_NOT_PERMITTED;
  Driver& d = driver();
  std::scoped_lock lock(d.mutex);
  if (!d.initialized) return CUDA_ERROR_NOT_INITIALIZED;
  try {
    return body(d);
  } catch (const std::bad_alloc&) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
}

/** The same where a context is current and sound. */
template <class Body>
CUresult in_context(Body body) {
  return in_driver([&](Driver& d) {
    auto& stack = context_stack();
    if (stack.empty() || !d.contexts.has(stack.back())) return CUDA_ERROR_INVALID_CONTEXT;
    Context& context = *stack.back();
    return context.fault != CUDA_SUCCESS ? context.fault : body(d, context);
  });
}

/** The same for what a thread may not do beside a stream capture ("potentially unsafe calls"). */
template <class Body>
CUresult in_context_uncaptured(const char* name, Body body) {
  return in_context([&](Driver& d, Context& context) {
    CUresult wrong = refuse_beside_capture(d, name);
    return wrong != CUDA_SUCCESS ? wrong : body(d, context);
  });
}

/**
 * Puts an operation into the stream behind a handle, or as a node into the graph that it captures. Where `now`, waits
 * for it, which no capture allows.
 */
CUresult submit(Driver& d, Context& context, void* stream_handle, const char* name, Operation operation,
                bool now = false);

}  // namespace lathe::emulator
