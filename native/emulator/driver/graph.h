/* Graphs: operations and what each comes after. An executable graph is a copy that no longer changes with its graph. */
#pragma once
#include <cstdint>
#include <vector>

#include "objects.h"

namespace lathe::emulator {

struct Driver;
struct Graph;

// CUgraphNodeType's numbers
enum class NodeType : int { kKernel = 0, kCopy = 1, kFill = 2, kHost = 3, kGraph = 4, kEmpty = 5 };

struct GraphNode {
  Graph* graph;
  NodeType type;
  Operation operation{};
  Graph* child = nullptr;  // a copy that this node owns
  const GraphNode* cloned_from = nullptr;
  std::vector<GraphNode*> dependencies{};
};

struct Graph {
  Context* context;
  bool owned = false;  // a node's child: it goes with that node
  std::vector<GraphNode*> nodes{};  // in the order of their making
};

struct ExecutableNode {
  const GraphNode* origin;  // to be found again by its handle; it may be gone
  NodeType type;
  Operation operation;
  std::vector<size_t> after;  // indexes of nodes that come earlier
};

struct GraphExec {
  Context* context;
  std::vector<ExecutableNode> nodes{};  // none before one that it depends on
  std::vector<StreamPoint> last_launch{};  // two launches of one executable graph don't overlap
  Clock last_clock{};
};

GraphNode* add_node(Driver& d, Graph& graph, NodeType type, Operation operation,
                    const std::vector<GraphNode*>& dependencies);
void destroy_graph(Driver& d, Graph* graph);
void destroy_node(Driver& d, GraphNode* node);
Graph* clone_graph(Driver& d, const Graph& graph);

/** @return the executable copy, or null where the dependencies go in a circle */
GraphExec* instantiate(Driver& d, Context& context, const Graph& graph);
void launch_graph(Driver& d, GraphExec& executable, Stream& stream);

}  // namespace lathe::emulator
