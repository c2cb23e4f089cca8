#include "driver.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace lathe::emulator {

// Never destroyed, since its thread isn't either.
Driver& driver() {
  static Driver* instance = new Driver();
  return *instance;
}

std::vector<Context*>& context_stack() {
  static thread_local std::vector<Context*> stack;
  return stack;
}

namespace {

/** The value of an environment variable, which `parse` has to take; nothing else would be noticed. */
template <class Parse>
void read_setting(const char* variable, const char* right, Parse parse) {
  const char* value = std::getenv(variable);
  if (value == nullptr || parse(std::string(value))) return;
  fprintf(stderr, "lathe emulator: %s is '%s'; it has to be %s\n", variable, value, right);
  abort();
}

size_t device_bytes() {
  size_t bytes = size_t{16} << 30;
  read_setting("LATHE_EMULATOR_MEMORY", "a number of bytes, or of K, M or G bytes, up to 256G",
               [&](const std::string& text) {
                 char* end = nullptr;
                 unsigned long long count = std::strtoull(text.c_str(), &end, 10);
                 std::string unit = end;
                 size_t shift = unit == "G" ? 30 : unit == "M" ? 20 : unit == "K" ? 10 : 0;
                 if (end == text.c_str() || (shift == 0 && !unit.empty()) || text[0] == '-') return false;
                 if (count == 0 || count > (size_t{256} << 30 >> shift)) return false;
                 bytes = count << shift;
                 return true;
               });
  return bytes;
}

}  // namespace

Driver::Driver() : memory(device_bytes()) {
  read_setting("LATHE_EMULATOR_ORDER", "parallel, forward, reverse or random:SEED",
               [&](const std::string& text) { return schedule.parse(text); });
  read_setting("LATHE_EMULATOR_STREAMS", "late, random:SEED or concurrent",
               [&](const std::string& text) { return timing.parse(text); });
  read_setting("LATHE_EMULATOR_SUMS", "rounded, ampere or hopper", [&](const std::string& text) {
    std::optional<Sums> wanted = Sums::parse(text);
    sums = wanted.value_or(sums);
    return wanted.has_value();
  });
  std::thread([this] { serve(); }).detach();
}

Context* Driver::create_context() {
  Context* context = contexts.add(Context());
  context->default_stream.id = new_id();
  context->default_stream.context = context;
  all_streams_[context->default_stream.id] = &context->default_stream;
  return context;
}

void Driver::destroy_context(Context* context) {
  std::vector<Stream*> own;
  streams.each([&](Stream& stream) {
    if (stream.context == context) own.push_back(&stream);
  });
  for (Stream* stream : own) remove_stream(stream);
  all_streams_.erase(context->default_stream.id);
  auto owned = [&](auto& object) { return object.context == context; };
  captures.remove_if(owned);
  events.remove_if(owned);
  executables.remove_if(owned);
  nodes.remove_if([&](GraphNode& node) { return node.graph->context == context; });
  graphs.remove_if(owned);
  modules.remove_if(owned);
  pools.remove_if(owned);
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
