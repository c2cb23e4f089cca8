/* Which command of which stream runs next. */
#include <algorithm>

#include "driver.h"

namespace lathe::emulator {

Stream* Driver::stream(Context& context, void* handle) {
  constexpr uintptr_t kLegacy = 1, kPerThread = 2;
  uintptr_t value = reinterpret_cast<uintptr_t>(handle);
  if (value == 0 || value == kLegacy || value == kPerThread) return &context.default_stream;
  return streams.find(handle);
}

Stream* Driver::add_stream(Context& context, bool blocking, unsigned flags, int priority) {
  uint64_t id = new_id();
  Stream* stream = streams.add(
      Stream{.id = id, .context = &context, .blocking = blocking, .flags = flags, .priority = priority});
  all_streams_[id] = stream;
  return stream;
}

void Driver::remove_stream(Stream* stream) {
  all_streams_.erase(stream->id);
  streams.remove(stream);
}

Stream& Driver::branch(Context& context) { return *add_stream(context, false, 0, 0); }

void Driver::close_branch(Stream& branch) {
  branch.closed = true;
  if (branch.commands.empty()) remove_stream(&branch);
}

StreamPoint Driver::enqueue(Stream& stream, Operation operation, const std::vector<StreamPoint>& after,
                            const Clock& known) {
  uint64_t ticket = ++tickets_;
  Command command{ticket, after, stream.clock, std::move(operation)};
  command.clock.merge(host_);
  command.clock.merge(known);
  auto order_after = [&](const Stream& other) {
    command.clock.merge(other.clock);
    if (!other.commands.empty()) command.after.push_back({other.id, ticket});
  };
  // The default stream waits for all that was put into blocking streams before, and they for it.
  Stream& default_stream = stream.context->default_stream;
  if (&stream == &default_stream) {
    streams.each([&](Stream& other) {
      if (other.context == stream.context && other.blocking) order_after(other);
    });
  } else if (stream.blocking) {
    order_after(default_stream);
  }
  stream.clock = command.clock;
  stream.clock.advance(stream.id, ticket);
  stream.commands.push_back(std::move(command));
  if (timing.kind() == Timing::Kind::kConcurrent) changed_.notify_all();
  if (timing.kind() == Timing::Kind::kRandom && (free_commands_ = timing.draw(3)) > 0) {
    changed_.notify_all();
    changed_.wait(mutex, [&] { return free_commands_ == 0; });
  }
  return {stream.id, ticket};
}

bool Driver::done(StreamPoint point) {
  auto found = all_streams_.find(point.stream);
  if (found == all_streams_.end()) return true;
  const auto& commands = found->second->commands;
  return commands.empty() || commands.front().ticket > point.ticket;
}

bool Driver::ready(const Stream& stream) {
  if (stream.commands.empty() || stream.running) return false;
  const auto& after = stream.commands.front().after;
  return std::all_of(after.begin(), after.end(), [&](StreamPoint point) { return done(point); });
}

/** A stream whose first command can run now, and has to before `point` is reached. */
Stream* Driver::first_ready(StreamPoint point) {
  // What a command waits for was put in before it, so this ends.
  if (done(point)) return nullptr;
  Stream* stream = all_streams_.at(point.stream);
  if (stream->running) return nullptr;
  for (StreamPoint before : stream->commands.front().after)
    if (Stream* found = first_ready(before)) return found;
  return ready(*stream) ? stream : nullptr;
}

Stream* Driver::choose_wanted() {
  for (StreamPoint point : wanted_)
    if (Stream* found = first_ready(point)) return found;
  return nullptr;
}

Stream* Driver::choose() {
  if (timing.kind() == Timing::Kind::kLate) return choose_wanted();
  bool wanted = std::any_of(wanted_.begin(), wanted_.end(), [&](StreamPoint point) { return !done(point); });
  if (timing.kind() == Timing::Kind::kRandom && free_commands_ == 0 && !wanted) return nullptr;
  std::vector<Stream*> can;
  for (auto& [id, stream] : all_streams_)
    if (ready(*stream)) can.push_back(stream);
  if (can.empty()) {
    free_commands_ = 0;
    return nullptr;
  }
  if (timing.kind() == Timing::Kind::kRandom) return can[timing.draw(static_cast<unsigned>(can.size()))];
  return *std::min_element(can.begin(), can.end(), [](Stream* a, Stream* b) {
    return a->commands.front().ticket < b->commands.front().ticket;
  });
}

void Driver::run_first(Stream& stream) {
  Command& command = stream.commands.front();  // stays where it is while others are put in behind it
  stream.running = true;
  execute(*stream.context, command, stream.id);
  stream.running = false;
  stream.commands.pop_front();
  if (stream.closed && stream.commands.empty()) remove_stream(&stream);
}

/** What the driver's own thread does for as long as the process lives: a JVM ends without asking. */
void Driver::serve() {
  std::scoped_lock lock(mutex);
  for (;;) {
    Stream* next = choose();
    if (next != nullptr) {
      run_first(*next);
      if (free_commands_ > 0) free_commands_--;
    }
    changed_.notify_all();
    if (next == nullptr) changed_.wait(mutex);
  }
}

void Driver::wait(StreamPoint point, const Clock& clock) {
  Clock reached = clock;  // its owner may be gone when the wait is over
  if (!done(point)) {
    wanted_.push_back(point);
    changed_.notify_all();
    changed_.wait(mutex, [&] { return done(point); });
    std::erase_if(wanted_, [&](StreamPoint p) { return p.stream == point.stream && p.ticket == point.ticket; });
  }
  host_.merge(reached);
  forget_order();
}

/** Drops what is known of the order of commands, where every later command comes after all of them. */
void Driver::forget_order() {
  // Commands that were put in before may not come after what the host has waited for since.
  for (auto& [id, stream] : all_streams_)
    if (!stream->commands.empty()) return;
  history_.forget(host_);
  if (!history_.empty()) return;
  host_ = Clock();
  for (auto& [id, stream] : all_streams_) stream->clock = Clock();
  events.each([](Event& event) { event.clock = Clock(); });
  executables.each([](GraphExec& executable) { executable.last_clock = Clock(); });
}

void Driver::finish(Stream& stream) { wait({stream.id, tickets_}, stream.clock); }

void Driver::finish_all() {
  std::vector<uint64_t> ids;
  for (auto& [id, stream] : all_streams_) ids.push_back(id);
  for (uint64_t id : ids)
    if (auto found = all_streams_.find(id); found != all_streams_.end()) finish(*found->second);
}

}  // namespace lathe::emulator
