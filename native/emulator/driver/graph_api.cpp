/* Graphs as a whole: made, looked at, instantiated, launched. */
#include <algorithm>

#include "driver.h"

using namespace lathe::emulator;

namespace {

template <class Body>
CUresult with_graph(Graph* graph, Body body) {
  return in_context([&](Driver& d, Context& context) {
    return d.graphs.has(graph) ? body(d, context) : CUDA_ERROR_INVALID_VALUE;
  });
}

/**
 * Fills the caller's array, or says only how many there are where it has none. The driver makes entries that are left over
 * null; but JCuda 12.6 passes a count that it never set, so they stay as they are here.
 */
template <class T>
CUresult list(const std::vector<T>& all, T* out, size_t* count) {
  if (count == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (out != nullptr) {
    *count = std::min(*count, all.size());
    std::copy_n(all.begin(), *count, out);
  } else {
    *count = all.size();
  }
  return CUDA_SUCCESS;
}

}  // namespace

LATHE_DRIVER CUresult cuGraphCreate(Graph** graph, unsigned flags) {
  return in_context([&](Driver& d, Context& context) {
    if (graph == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    *graph = d.graphs.add(Graph{.context = &context});
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuGraphDestroy(Graph* graph) {
  return with_graph(graph, [&](Driver& d, Context&) {
    if (graph->owned) return CUDA_ERROR_INVALID_VALUE;
    destroy_graph(d, graph);
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuGraphClone(Graph** clone, Graph* original) {
  return with_graph(original, [&](Driver& d, Context&) {
    if (clone == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *clone = clone_graph(d, *original);
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuGraphNodeFindInClone(GraphNode** found, GraphNode* original, Graph* clone) {
  return with_graph(clone, [&](Driver&, Context&) {
    for (GraphNode* node : clone->nodes)
      if (node->cloned_from == original) {
        *found = node;
        return CUDA_SUCCESS;
      }
    return CUDA_ERROR_INVALID_VALUE;
  });
}

LATHE_DRIVER CUresult cuGraphGetNodes(Graph* graph, GraphNode** nodes, size_t* count) {
  return with_graph(graph, [&](Driver&, Context&) { return list(graph->nodes, nodes, count); });
}

LATHE_DRIVER CUresult cuGraphGetRootNodes(Graph* graph, GraphNode** nodes, size_t* count) {
  return with_graph(graph, [&](Driver&, Context&) {
    std::vector<GraphNode*> roots;
    std::ranges::copy_if(graph->nodes, std::back_inserter(roots), [](GraphNode* n) { return n->dependencies.empty(); });
    return list(roots, nodes, count);
  });
}

LATHE_DRIVER CUresult cuGraphGetEdges(Graph* graph, GraphNode** from, GraphNode** to, size_t* count) {
  return with_graph(graph, [&](Driver&, Context&) {
    if ((from == nullptr) != (to == nullptr) || count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::vector<GraphNode*> starts, ends;
    for (GraphNode* node : graph->nodes)
      for (GraphNode* before : node->dependencies) {
        starts.push_back(before);
        ends.push_back(node);
      }
    size_t asked = *count;
    list(starts, from, count);
    *count = from == nullptr ? *count : asked;
    return list(ends, to, count);
  });
}

LATHE_DRIVER CUresult cuGraphNodeGetDependencies(GraphNode* node, GraphNode** nodes, size_t* count) {
  return in_context([&](Driver& d, Context&) {
    return d.nodes.has(node) ? list(node->dependencies, nodes, count) : CUDA_ERROR_INVALID_VALUE;
  });
}

LATHE_DRIVER CUresult cuGraphNodeGetDependentNodes(GraphNode* node, GraphNode** nodes, size_t* count) {
  return in_context([&](Driver& d, Context&) {
    if (!d.nodes.has(node)) return CUDA_ERROR_INVALID_VALUE;
    std::vector<GraphNode*> dependents;
    for (GraphNode* other : node->graph->nodes)
      if (std::ranges::find(other->dependencies, node) != other->dependencies.end()) dependents.push_back(other);
    return list(dependents, nodes, count);
  });
}

LATHE_DRIVER CUresult cuGraphAddDependencies(Graph* graph, GraphNode** from, GraphNode** to, size_t count) {
  return with_graph(graph, [&](Driver& d, Context&) {
    for (size_t i = 0; i < count; i++) {
      bool here = d.nodes.has(from[i]) && d.nodes.has(to[i]) && from[i]->graph == graph && to[i]->graph == graph;
      if (!here || from[i] == to[i]) return CUDA_ERROR_INVALID_VALUE;
      auto& dependencies = to[i]->dependencies;
      if (std::ranges::find(dependencies, from[i]) != dependencies.end()) return CUDA_ERROR_INVALID_VALUE;
    }
    for (size_t i = 0; i < count; i++) to[i]->dependencies.push_back(from[i]);
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuGraphRemoveDependencies(Graph* graph, GraphNode** from, GraphNode** to, size_t count) {
  return with_graph(graph, [&](Driver& d, Context&) {
    for (size_t i = 0; i < count; i++)
      if (!d.nodes.has(to[i]) || std::erase(to[i]->dependencies, from[i]) == 0) return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuGraphInstantiateWithFlags(GraphExec** executable, Graph* graph, unsigned long long flags) {
  constexpr unsigned long long kAutoFree = 1, kUpload = 2, kNodePriority = 8;
  return with_graph(graph, [&](Driver& d, Context& context) {
    if (executable == nullptr || (flags & ~(kAutoFree | kUpload | kNodePriority)) != 0) return CUDA_ERROR_INVALID_VALUE;
    *executable = instantiate(d, context, *graph);
    return *executable != nullptr
               ? CUDA_SUCCESS
               : d.refuse(CUDA_ERROR_INVALID_VALUE, "cuGraphInstantiate: the nodes depend on each other in a circle");
  });
}

LATHE_DRIVER CUresult cuGraphExecDestroy(GraphExec* executable) {
  return in_context([&](Driver& d, Context&) {
    if (!d.executables.has(executable)) return CUDA_ERROR_INVALID_VALUE;
    d.executables.remove(executable);  // a launch that is still to run has all it needs
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuGraphLaunch(GraphExec* executable, void* stream_handle) {
  return in_context([&](Driver& d, Context& context) {
    if (!d.executables.has(executable)) return CUDA_ERROR_INVALID_VALUE;
    Stream* stream = d.stream(context, stream_handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->capture != nullptr)
      return invalidate(d, *stream->capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
                        "cuGraphLaunch (child graphs of a capture aren't implemented)");
    if (CUresult wrong = refuse_implicit(d, context, *stream, "cuGraphLaunch"); wrong != CUDA_SUCCESS) return wrong;
    launch_graph(d, *executable, *stream);
    return context.fault;
  });
}

/** There is nothing to move anywhere; it is checked as a launch is. */
LATHE_DRIVER CUresult cuGraphUpload(GraphExec* executable, void* stream) {
  return in_context([&](Driver& d, Context& context) {
    if (!d.executables.has(executable)) return CUDA_ERROR_INVALID_VALUE;
    return submit(d, context, stream, "cuGraphUpload", Nothing{});
  });
}
