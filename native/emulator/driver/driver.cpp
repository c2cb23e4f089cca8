#include "driver.h"

#include <cstdarg>
#include <cstdlib>

namespace lathe::emulator {

DeviceThread::DeviceThread() {
  // It lives as long as the process: a driver can't be shut down, and a JVM ends without asking.
  std::thread([this] {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return work_ != nullptr; });
      (*work_)();
      work_ = nullptr;
      changed_.notify_all();
    }
  }).detach();
}

void DeviceThread::run(const std::function<void()>& work) {
  std::unique_lock lock(mutex_);
  work_ = &work;
  changed_.notify_all();
  changed_.wait(lock, [this] { return work_ == nullptr; });
}

// Never destroyed, since its thread isn't either.
Driver& driver() {
  static Driver* instance = new Driver();
  return *instance;
}

std::vector<Context*>& context_stack() {
  static thread_local std::vector<Context*> stack;
  return stack;
}

Driver::Driver() {
  const char* order = std::getenv("LATHE_EMULATOR_ORDER");
  if (order != nullptr && !schedule.parse(order)) {
    fprintf(stderr, "lathe emulator: LATHE_EMULATOR_ORDER is '%s'; it has to be forward, reverse or random:SEED\n",
            order);
    abort();
  }
}

Context* Driver::create_context() {
  Context* context = contexts.add(Context());
  context->default_stream = Stream{++stream_ids, context, true, 0, {}};
  return context;
}

void Driver::destroy_context(Context* context) {
  auto owned = [&](auto& object) { return object.context == context; };
  streams.remove_if(owned);
  events.remove_if(owned);
  modules.remove_if(owned);
  memory.release_all(context);
  contexts.remove(context);
}

CUresult Driver::refuse(CUresult result, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("lathe emulator: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  return result;
}

}  // namespace lathe::emulator
