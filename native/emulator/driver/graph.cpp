#include "graph.h"

#include <algorithm>
#include <map>

#include "driver.h"

namespace lathe::emulator {

GraphNode* add_node(Driver& d, Graph& graph, NodeType type, Operation operation,
                    const std::vector<GraphNode*>& dependencies) {
  GraphNode* node = d.nodes.add(GraphNode{
      .graph = &graph, .type = type, .operation = std::move(operation), .dependencies = dependencies});
  graph.nodes.push_back(node);
  return node;
}

void destroy_node(Driver& d, GraphNode* node) {
  for (GraphNode* other : node->graph->nodes) std::erase(other->dependencies, node);
  std::erase(node->graph->nodes, node);
  if (node->child != nullptr) destroy_graph(d, node->child);
  d.nodes.remove(node);
}

void destroy_graph(Driver& d, Graph* graph) {
  for (GraphNode* node : graph->nodes) {
    if (node->child != nullptr) destroy_graph(d, node->child);
    d.nodes.remove(node);
  }
  d.graphs.remove(graph);
}

Graph* clone_graph(Driver& d, const Graph& graph) {
  Graph* clone = d.graphs.add(Graph{.context = graph.context});
  std::map<const GraphNode*, GraphNode*> copies;
  for (const GraphNode* node : graph.nodes) {
    GraphNode* copy = add_node(d, *clone, node->type, node->operation, {});
    copy->cloned_from = node;
    if (node->child != nullptr) {
      copy->child = clone_graph(d, *node->child);
      copy->child->owned = true;
    }
    copies[node] = copy;
  }
  for (const GraphNode* node : graph.nodes)
    for (GraphNode* before : node->dependencies) copies[node]->dependencies.push_back(copies[before]);
  return clone;
}

namespace {

/**
 * Appends a graph's nodes, each after what it depends on; a child graph's in place of its node.
 *
 * @param before what the graph as a whole comes after
 * @return the nodes that nothing in it comes after; false where there is a circle
 */
bool flatten(const Graph& graph, const std::vector<size_t>& before, std::vector<ExecutableNode>& out,
             std::vector<size_t>& ends) {
  std::map<const GraphNode*, std::vector<size_t>> ends_of;  // of the nodes that are done
  std::map<const GraphNode*, bool> has_follower;
  while (ends_of.size() < graph.nodes.size()) {
    size_t done = ends_of.size();
    for (const GraphNode* node : graph.nodes) {
      auto is_done = [&](const GraphNode* other) { return ends_of.contains(other); };
      if (is_done(node) || !std::all_of(node->dependencies.begin(), node->dependencies.end(), is_done)) continue;
      std::vector<size_t> after;
      for (const GraphNode* dependency : node->dependencies) {
        has_follower[dependency] = true;
        after.insert(after.end(), ends_of[dependency].begin(), ends_of[dependency].end());
      }
      if (node->dependencies.empty()) after = before;
      if (node->type == NodeType::kGraph && !node->child->nodes.empty()) {
        if (!flatten(*node->child, after, out, ends_of[node])) return false;
      } else {
        out.push_back({node, node->type, node->operation, after});
        ends_of[node] = {out.size() - 1};
      }
    }
    if (ends_of.size() == done) return false;
  }
  for (const GraphNode* node : graph.nodes)
    if (!has_follower[node]) ends.insert(ends.end(), ends_of[node].begin(), ends_of[node].end());
  return true;
}

}  // namespace

GraphExec* instantiate(Driver& d, Context& context, const Graph& graph) {
  GraphExec executable{.context = &context};
  std::vector<size_t> ends;
  if (!flatten(graph, {}, executable.nodes, ends)) return nullptr;
  return d.executables.add(std::move(executable));
}

/**
 * Puts the nodes into streams: the first that comes after a node goes on in that node's stream, any other in a branch of
 * its own. So a chain stays in the stream that the graph was launched in.
 */
void launch_graph(Driver& d, GraphExec& executable, Stream& stream) {
  struct Placed {
    Stream* stream;
    StreamPoint point;
    Clock clock;
    bool continued = false;
  };
  StreamPoint start = d.enqueue(stream, Nothing{}, executable.last_launch, executable.last_clock);
  Clock start_clock = stream.clock;
  bool stream_taken = false;
  std::vector<Placed> placed;
  std::vector<Stream*> branches;
  for (const ExecutableNode& node : executable.nodes) {
    Stream* place = nullptr;
    if (node.after.empty() && !stream_taken) {
      place = &stream;
      stream_taken = true;
    }
    std::vector<StreamPoint> after{start};
    Clock known = start_clock;
    for (size_t before : node.after) {
      after.push_back(placed[before].point);
      known.merge(placed[before].clock);
      if (place != nullptr || placed[before].continued) continue;
      place = placed[before].stream;
      placed[before].continued = true;
    }
    if (place == nullptr) {
      place = &d.branch(*stream.context);
      branches.push_back(place);
    }
    StreamPoint point = d.enqueue(*place, node.operation, after, known);
    placed.push_back({place, point, place->clock});
  }
  // The stream goes on when all have ended.
  executable.last_launch.clear();
  executable.last_clock = Clock();
  for (const Placed& node : placed) {
    if (node.continued) continue;
    executable.last_launch.push_back(node.point);
    executable.last_clock.merge(node.clock);
  }
  d.enqueue(stream, Nothing{}, executable.last_launch, executable.last_clock);
  for (Stream* branch : branches) d.close_branch(*branch);
}

}  // namespace lathe::emulator
