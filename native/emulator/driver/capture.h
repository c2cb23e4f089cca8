/* Stream capture: what is put into a capturing stream becomes nodes of a graph, and nothing runs. */
#pragma once
#include <cstdint>
#include <thread>
#include <vector>

#include "objects.h"

namespace lathe::emulator {

struct Driver;
struct Graph;

enum class CaptureMode : int { kGlobal = 0, kThreadLocal = 1, kRelaxed = 2 };

struct Capture {
  uint64_t id;
  Context* context;
  Graph* graph;
  Stream* origin;
  CaptureMode mode;
  std::thread::id thread;
  bool invalidated = false;
};

/** This thread's mode, which cuThreadExchangeStreamCaptureMode changes. */
CaptureMode& thread_capture_mode();

/** What a call that no capture allows has to return; it ends the captures that it would disturb. */
CUresult invalidate(Driver& d, Capture& capture, CUresult result, const char* name);

/** Refuses a "potentially unsafe" call beside a capture that forbids it to this thread. */
CUresult refuse_beside_capture(Driver& d, const char* name);

/** Refuses a call on the default stream that would make it wait for a blocking stream that captures. */
CUresult refuse_implicit(Driver& d, Context& context, const Stream& stream, const char* name);

/** Refuses what a stream that captures can't do: to be waited for, or asked whether it is done. */
CUresult refuse_capturing(Driver& d, Context& context, Stream& stream, const char* name);

/** Makes a node of an operation, in the graph that the stream captures, after what the stream did before. */
CUresult capture_node(Driver& d, Stream& stream, const char* name, Operation operation);

/** Takes a stream into a capture, or joins a stream of the capture with what an event recorded in it. */
CUresult capture_wait(Driver& d, Stream& stream, const Event& event);

/** Lets go of the streams and events that took part; the graph stays. */
void end_capture(Driver& d, Capture* capture);

}  // namespace lathe::emulator
