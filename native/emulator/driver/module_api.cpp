/* Modules. An image is a shared object that g++ made of a .cu file, as a fatbin is what nvcc makes of it. */
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "driver.h"

namespace lathe::emulator {

namespace {
// The module whose constructors run now, on this thread.
thread_local std::vector<Kernel>* loading = nullptr;
}  // namespace

void register_kernel(const Kernel& kernel) {
  if (loading != nullptr) loading->push_back(kernel);
}

void CloseLibrary::operator()(void* library) const {
  dlclose(library);
  close(file);
}

Function* Driver::function(const void* handle) {
  Function* found = nullptr;
  modules.each([&](Module& module) {
    for (auto& [name, function] : module.functions)
      if (&function == handle) found = &function;
  });
  return found;
}

}  // namespace lathe::emulator

using namespace lathe::emulator;

namespace {

constexpr unsigned kFatbinMagic = 0xba55ed50;

/** The size of a shared object, which cuModuleLoadData isn't told: its section headers come last. 0: not one. */
size_t image_bytes(const void* image) {
  Elf64_Ehdr header;
  if (std::memcmp(image, ELFMAG, SELFMAG) != 0) return 0;
  std::memcpy(&header, image, sizeof header);
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_type != ET_DYN || header.e_machine != EM_X86_64) return 0;
  return header.e_shoff + static_cast<size_t>(header.e_shnum) * header.e_shentsize;
}

bool write_all(int file, const void* bytes, size_t count) {
  const char* next = static_cast<const char*>(bytes);
  while (count > 0) {
    ssize_t written = write(file, next, count);
    if (written <= 0) return false;
    next += written;
    count -= static_cast<size_t>(written);
  }
  return true;
}

/** Loads from a file without a name, so that two modules of one image have variables of their own. */
Library open_image(Driver& d, const void* image, size_t bytes) {
  int file = memfd_create("lathe-module", MFD_CLOEXEC);
  if (file < 0 || !write_all(file, image, bytes)) {
    d.refuse(CUDA_ERROR_OPERATING_SYSTEM, "can't copy a module of %zu bytes: %s", bytes, strerror(errno));
    if (file >= 0) close(file);
    return {};
  }
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  Library library(dlopen(path, RTLD_NOW | RTLD_LOCAL), CloseLibrary{file});
  if (library == nullptr) {
    d.refuse(CUDA_ERROR_INVALID_IMAGE, "can't load a module: %s", dlerror());
    close(file);
  }
  return library;
}

std::vector<AddressRange> ranges_of(void* library) {
  struct Search {
    uintptr_t base;
    std::vector<AddressRange> ranges;
  };
  link_map* map = nullptr;
  dlinfo(library, RTLD_DI_LINKMAP, &map);
  Search search{map->l_addr, {}};
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* data) {
        auto* wanted = static_cast<Search*>(data);
        if (info->dlpi_addr != wanted->base) return 0;
        for (int i = 0; i < info->dlpi_phnum; i++) {
          const auto& segment = info->dlpi_phdr[i];
          if (segment.p_type != PT_LOAD) continue;
          uintptr_t low = info->dlpi_addr + segment.p_vaddr;
          wanted->ranges.push_back({low, low + segment.p_memsz, (segment.p_flags & PF_W) != 0});
        }
        return 1;
      },
      &search);
  return search.ranges;
}

CUresult load(Module** handle, const void* image) {
  return in_context_uncaptured("cuModuleLoad", [&](Driver& d, Context& context) {
    if (handle == nullptr || image == nullptr) return CUDA_ERROR_INVALID_VALUE;
    size_t bytes = image_bytes(image);
    if (bytes == 0) {
      unsigned magic;
      std::memcpy(&magic, image, sizeof magic);
      if (magic == kFatbinMagic)
        return d.refuse(CUDA_ERROR_NO_BINARY_FOR_GPU, "a fatbin was loaded; the emulated GPU takes emulator/*.so");
      return d.refuse(CUDA_ERROR_INVALID_IMAGE, "a module is not a shared object for x86-64");
    }
    std::vector<Kernel> kernels;
    loading = &kernels;
    Library library = open_image(d, image, bytes);
    loading = nullptr;
    if (library == nullptr) return CUDA_ERROR_INVALID_IMAGE;
    auto ranges = ranges_of(library.get());
    Module* module = d.modules.add(Module{&context, std::move(library), {}, std::move(ranges)});
    for (const Kernel& kernel : kernels) module->functions[kernel.name] = Function{kernel, module};
    *handle = module;
    return CUDA_SUCCESS;
  });
}

}  // namespace

LATHE_DRIVER CUresult cuModuleLoadData(Module** module, const void* image) { return load(module, image); }
LATHE_DRIVER CUresult cuModuleLoadDataEx(Module** module, const void* image, unsigned, int*, void**) {
  return load(module, image);
}
LATHE_DRIVER CUresult cuModuleLoadFatBinary(Module** module, const void* image) { return load(module, image); }

LATHE_DRIVER CUresult cuModuleLoad(Module** module, const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return CUDA_ERROR_FILE_NOT_FOUND;
  std::vector<char> image((std::istreambuf_iterator<char>(file)), {});
  if (image.size() < sizeof(Elf64_Ehdr)) return CUDA_ERROR_INVALID_IMAGE;
  return load(module, image.data());
}

LATHE_DRIVER CUresult cuModuleUnload(Module* module) {
  return in_context_uncaptured("cuModuleUnload", [&](Driver& d, Context& context) {
    if (!d.modules.has(module)) return CUDA_ERROR_INVALID_HANDLE;
    d.finish_all();
    d.memory.release_all(module);
    d.modules.remove(module);
    return context.fault;
  });
}

LATHE_DRIVER CUresult cuModuleGetFunction(Function** function, Module* module, const char* name) {
  return in_context([&](Driver& d, Context&) {
    if (!d.modules.has(module)) return CUDA_ERROR_INVALID_HANDLE;
    auto found = module->functions.find(name);
    if (found == module->functions.end()) return d.refuse(CUDA_ERROR_NOT_FOUND, "the module has no kernel '%s'", name);
    *function = &found->second;
    return CUDA_SUCCESS;
  });
}

/** A variable that LATHE_GLOBAL declares: those the linker keeps by name. */
LATHE_DRIVER CUresult cuModuleGetGlobal_v2(CUdeviceptr* address, size_t* bytes, Module* module, const char* name) {
  return in_context([&](Driver& d, Context&) {
    if (!d.modules.has(module)) return CUDA_ERROR_INVALID_HANDLE;
    if (name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    void* found = dlsym(module->library.get(), name);
    Dl_info info;
    const ElfW(Sym)* symbol = nullptr;
    if (found == nullptr || dladdr1(found, &info, reinterpret_cast<void**>(const_cast<ElfW(Sym)**>(&symbol)), RTLD_DL_SYMENT) == 0 ||
        symbol == nullptr || ELF64_ST_TYPE(symbol->st_info) != STT_OBJECT)
      return d.refuse(CUDA_ERROR_NOT_FOUND, "the module has no variable '%s'", name);
    uintptr_t start = reinterpret_cast<uintptr_t>(found);
    d.memory.register_range(start, symbol->st_size, module, MemoryKind::kModule);  // once is enough
    if (address != nullptr) *address = start;
    if (bytes != nullptr) *bytes = symbol->st_size;
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuModuleGetLoadingMode(int* mode) {
  return in_driver([&](Driver&) {
    *mode = 1;  // eager
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuFuncGetModule(Module** module, Function* function) {
  return in_context([&](Driver& d, Context&) {
    if (d.function(function) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *module = function->module;
    return CUDA_SUCCESS;
  });
}
