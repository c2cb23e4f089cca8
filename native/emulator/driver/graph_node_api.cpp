/* The nodes of a graph, and what each does. */
#include <algorithm>

#include "copy_structs.h"
#include "driver.h"
#include "launch.h"

using namespace lathe::emulator;

namespace {

/** CUDA_KERNEL_NODE_PARAMS_v2 */
struct KernelNodeParameters {
  Function* function;
  Dim3 grid, block;
  unsigned shared_bytes;
  void* const* values;
  void** extra;
  void* kernel;
  Context* context;
};

/** CUDA_HOST_NODE_PARAMS */
struct HostNodeParameters {
  void (*function)(void* data);
  void* data;
};

/** Adds a node whose operation `make` fills in. */
template <class Make>
CUresult add(GraphNode** out, Graph* graph, GraphNode* const* dependencies, size_t count, NodeType type, Make make) {
  return in_context([&](Driver& d, Context& context) {
    if (out == nullptr || !d.graphs.has(graph) || (count > 0 && dependencies == nullptr))
      return CUDA_ERROR_INVALID_VALUE;
    std::vector<GraphNode*> before(dependencies, dependencies + count);
    for (size_t i = 0; i < count; i++) {
      bool twice = std::find(before.begin(), before.begin() + static_cast<ptrdiff_t>(i), before[i]) !=
                   before.begin() + static_cast<ptrdiff_t>(i);
      if (!d.nodes.has(before[i]) || before[i]->graph != graph || twice) return CUDA_ERROR_INVALID_VALUE;
    }
    Operation operation;
    if (CUresult wrong = make(d, context, operation); wrong != CUDA_SUCCESS) return wrong;
    *out = add_node(d, *graph, type, std::move(operation), before);
    return CUDA_SUCCESS;
  });
}

template <class Body>
CUresult with_node(GraphNode* node, NodeType type, Body body) {
  return in_context([&](Driver& d, Context& context) {
    return d.nodes.has(node) && node->type == type ? body(d, context) : CUDA_ERROR_INVALID_VALUE;
  });
}

/** Replaces what a node of an executable graph does, from its next launch on. */
template <class Make>
CUresult replace(GraphExec* executable, const GraphNode* node, NodeType type, Make make) {
  return in_context([&](Driver& d, Context& context) {
    if (!d.executables.has(executable)) return CUDA_ERROR_INVALID_VALUE;
    auto found = std::ranges::find(executable->nodes, node, &ExecutableNode::origin);
    if (found == executable->nodes.end() || found->type != type) return CUDA_ERROR_INVALID_VALUE;
    Operation operation;
    CUresult wrong = make(d, context, operation);
    if (wrong == CUDA_SUCCESS) found->operation = std::move(operation);
    return wrong;
  });
}

CUresult make_kernel(Driver& d, const KernelNodeParameters* parameters, Operation& operation) {
  if (parameters == nullptr) return CUDA_ERROR_INVALID_VALUE;
  LaunchShape shape{parameters->grid, parameters->block, parameters->shared_bytes};
  Launch launch;
  CUresult wrong = make_launch(d, parameters->function, shape, parameters->values, parameters->extra, &launch);
  if (wrong == CUDA_SUCCESS) operation = std::move(launch);
  return wrong;
}

auto kernel_maker(const KernelNodeParameters* parameters) {
  return [=](Driver& d, Context&, Operation& operation) { return make_kernel(d, parameters, operation); };
}
auto copy_maker(const Copy3D* parameters) {
  return [=](Driver& d, Context&, Operation& operation) {
    Copy copy;
    CUresult wrong = parameters == nullptr ? CUDA_ERROR_INVALID_VALUE : make_copy(d, *parameters, &copy);
    if (wrong == CUDA_SUCCESS) operation = std::move(copy);
    return wrong;
  };
}
auto fill_maker(const FillParameters* parameters) {
  return [=](Driver& d, Context&, Operation& operation) {
    if (parameters == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Fill fill{parameters->to, parameters->pitch, parameters->value, parameters->element_bytes, parameters->width,
              parameters->height};
    CUresult wrong = check_fill(d, fill);
    if (wrong == CUDA_SUCCESS) operation = fill;
    return wrong;
  };
}
auto host_maker(const HostNodeParameters* parameters) {
  return [=](Driver&, Context&, Operation& operation) {
    if (parameters == nullptr || parameters->function == nullptr) return CUDA_ERROR_INVALID_VALUE;
    operation = HostCall{parameters->function, parameters->data};
    return CUDA_SUCCESS;
  };
}

}  // namespace

LATHE_DRIVER CUresult cuGraphNodeGetType(GraphNode* node, int* type) {
  return in_context([&](Driver& d, Context&) {
    if (!d.nodes.has(node) || type == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *type = static_cast<int>(node->type);
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuGraphDestroyNode(GraphNode* node) {
  return in_context([&](Driver& d, Context&) {
    if (!d.nodes.has(node)) return CUDA_ERROR_INVALID_VALUE;
    destroy_node(d, node);
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuGraphAddKernelNode_v2(GraphNode** node, Graph* graph, GraphNode* const* before, size_t count,
                                              const KernelNodeParameters* parameters) {
  return add(node, graph, before, count, NodeType::kKernel, kernel_maker(parameters));
}
LATHE_DRIVER CUresult cuGraphKernelNodeGetParams_v2(GraphNode* node, KernelNodeParameters* parameters) {
  return with_node(node, NodeType::kKernel, [&](Driver&, Context& context) {
    const Launch& launch = std::get<Launch>(node->operation);
    *parameters = {.function = const_cast<Function*>(launch.function),
                   .grid = launch.grid,
                   .block = launch.block,
                   .shared_bytes = launch.shared_bytes,
                   .values = const_cast<void* const*>(launch.arguments->pointers()),
                   .extra = nullptr,
                   .kernel = nullptr,
                   .context = &context};
    return CUDA_SUCCESS;
  });
}
LATHE_DRIVER CUresult cuGraphKernelNodeSetParams_v2(GraphNode* node, const KernelNodeParameters* parameters) {
  return with_node(node, NodeType::kKernel,
                   [&](Driver& d, Context&) { return make_kernel(d, parameters, node->operation); });
}
LATHE_DRIVER CUresult cuGraphExecKernelNodeSetParams_v2(GraphExec* executable, GraphNode* node,
                                                        const KernelNodeParameters* parameters) {
  return replace(executable, node, NodeType::kKernel, kernel_maker(parameters));
}

LATHE_DRIVER CUresult cuGraphAddMemcpyNode(GraphNode** node, Graph* graph, GraphNode* const* before, size_t count,
                                           const Copy3D* parameters, Context*) {
  return add(node, graph, before, count, NodeType::kCopy, copy_maker(parameters));
}
LATHE_DRIVER CUresult cuGraphMemcpyNodeSetParams(GraphNode* node, const Copy3D* parameters) {
  return with_node(node, NodeType::kCopy,
                   [&](Driver& d, Context& c) { return copy_maker(parameters)(d, c, node->operation); });
}
LATHE_DRIVER CUresult cuGraphExecMemcpyNodeSetParams(GraphExec* executable, GraphNode* node, const Copy3D* parameters,
                                                     Context*) {
  return replace(executable, node, NodeType::kCopy, copy_maker(parameters));
}

LATHE_DRIVER CUresult cuGraphAddMemsetNode(GraphNode** node, Graph* graph, GraphNode* const* before, size_t count,
                                           const FillParameters* parameters, Context*) {
  return add(node, graph, before, count, NodeType::kFill, fill_maker(parameters));
}
LATHE_DRIVER CUresult cuGraphMemsetNodeGetParams(GraphNode* node, FillParameters* parameters) {
  return with_node(node, NodeType::kFill, [&](Driver&, Context&) {
    const Fill& fill = std::get<Fill>(node->operation);
    *parameters = {fill.to, fill.pitch, fill.value, fill.element_bytes, fill.width, fill.height};
    return CUDA_SUCCESS;
  });
}
LATHE_DRIVER CUresult cuGraphMemsetNodeSetParams(GraphNode* node, const FillParameters* parameters) {
  return with_node(node, NodeType::kFill,
                   [&](Driver& d, Context& c) { return fill_maker(parameters)(d, c, node->operation); });
}
LATHE_DRIVER CUresult cuGraphExecMemsetNodeSetParams(GraphExec* executable, GraphNode* node,
                                                     const FillParameters* parameters, Context*) {
  return replace(executable, node, NodeType::kFill, fill_maker(parameters));
}

LATHE_DRIVER CUresult cuGraphAddHostNode(GraphNode** node, Graph* graph, GraphNode* const* before, size_t count,
                                         const HostNodeParameters* parameters) {
  return add(node, graph, before, count, NodeType::kHost, host_maker(parameters));
}
LATHE_DRIVER CUresult cuGraphHostNodeGetParams(GraphNode* node, HostNodeParameters* parameters) {
  return with_node(node, NodeType::kHost, [&](Driver&, Context&) {
    const HostCall& call = std::get<HostCall>(node->operation);
    *parameters = {call.function, call.data};
    return CUDA_SUCCESS;
  });
}
LATHE_DRIVER CUresult cuGraphHostNodeSetParams(GraphNode* node, const HostNodeParameters* parameters) {
  return with_node(node, NodeType::kHost,
                   [&](Driver& d, Context& c) { return host_maker(parameters)(d, c, node->operation); });
}
LATHE_DRIVER CUresult cuGraphExecHostNodeSetParams(GraphExec* executable, GraphNode* node,
                                                   const HostNodeParameters* parameters) {
  return replace(executable, node, NodeType::kHost, host_maker(parameters));
}

LATHE_DRIVER CUresult cuGraphAddEmptyNode(GraphNode** node, Graph* graph, GraphNode* const* before, size_t count) {
  return add(node, graph, before, count, NodeType::kEmpty,
             [](Driver&, Context&, Operation&) { return CUDA_SUCCESS; });
}

LATHE_DRIVER CUresult cuGraphAddChildGraphNode(GraphNode** node, Graph* graph, GraphNode* const* before, size_t count,
                                               Graph* child) {
  CUresult result = add(node, graph, before, count, NodeType::kGraph, [&](Driver& d, Context&, Operation&) {
    return d.graphs.has(child) && child != graph ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
  if (result != CUDA_SUCCESS) return result;
  return in_context([&](Driver& d, Context&) {
    (*node)->child = clone_graph(d, *child);
    (*node)->child->owned = true;
    return CUDA_SUCCESS;
  });
}
LATHE_DRIVER CUresult cuGraphChildGraphNodeGetGraph(GraphNode* node, Graph** graph) {
  return with_node(node, NodeType::kGraph, [&](Driver&, Context&) {
    *graph = node->child;
    return CUDA_SUCCESS;
  });
}
