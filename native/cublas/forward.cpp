/* libcublas.so.12      forwards what JCublas calls to the cuBLAS that is installed, 12 or 13
 *
 * JCublas 12.6 links against libcublas.so.12 by that name and version; a machine with CUDA 13 has libcublas.so.13 only,
 * whose functions are the same. This library takes the name, and finds the other when the first function is called.
 * What the other lacks answers CUBLAS_STATUS_NOT_SUPPORTED and is named on stderr, once: a missing symbol would end the
 * JVM. Needs no CUDA toolkit to be built.
 */
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>

#include "search.h"

#define LATHE_CUBLAS_API extern "C" __attribute__((visibility("default")))

extern "C" {
extern void* lathe_cublas_slots[];
void lathe_cublas_missing();
__attribute__((visibility("hidden"))) void* lathe_cublas_resolve(void** slot);
}

namespace {

constexpr const char* kFunctions[] = {
#define LATHE_CUBLAS_FUNCTION(NAME) #NAME,
#include "cublas_api.def"
#undef LATHE_CUBLAS_FUNCTION
};

struct Target {
  std::mutex mutex;
  bool searched = false;
  void* library = nullptr;
  std::string report;  // its file, or why there is none
};

// Never destroyed: calls may come as long as the process runs.
Target& target() {
  static Target* instance = new Target();
  return *instance;
}

/** Opens a file unless it is a library of this kind, which would forward to us. */
void* open(const std::string& file, std::string& problems) {
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  const char* problem = library == nullptr ? dlerror() : nullptr;
  if (library != nullptr && dlsym(library, "lathe_cublas_open") != nullptr) problem = "it forwards, too";
  if (library != nullptr && problem == nullptr && dlsym(library, "cublasCreate_v2") == nullptr)
    problem = "it has no cublasCreate_v2";
  if (problem == nullptr) return library;
  problems += "; " + file + ": " + problem;
  if (library != nullptr) dlclose(library);
  return nullptr;
}

void search(Target& t, const char* wanted) {
  t.searched = true;
  bool named = wanted != nullptr && *wanted != '\0';
  std::string problems;
  for (const std::string& file : named ? lathe::cublas::candidates_in(wanted) : lathe::cublas::candidates()) {
    t.library = open(file, problems);
    if (t.library != nullptr) {
      t.report = file;
      return;
    }
  }
  t.report = named ? std::string("no cuBLAS at ") + wanted + ", which LATHE_CUBLAS names"
                   : "no libcublas.so.12 or libcublas.so.13 in the linker's folders, CUDA_HOME or /usr/local/cuda*";
  t.report += problems;
}

const char* no_text() { return "cuBLAS without this function"; }

}  // namespace

/** Looks for cuBLAS, once: in `wanted`, a file or folder, or where that is null or empty, where it is usually installed.
 * @return 0 where one was found, now or before
 */
LATHE_CUBLAS_API int lathe_cublas_open(const char* wanted) {
  Target& t = target();
  std::scoped_lock lock(t.mutex);
  if (!t.searched) search(t, wanted);
  return t.library != nullptr ? 0 : 1;
}

/** The file of the cuBLAS that was found, or why there is none. */
LATHE_CUBLAS_API const char* lathe_cublas_report() { return target().report.c_str(); }

void* lathe_cublas_resolve(void** slot) {
  lathe_cublas_open(std::getenv("LATHE_CUBLAS"));
  Target& t = target();
  std::scoped_lock lock(t.mutex);
  const char* name = kFunctions[slot - lathe_cublas_slots];
  void* function = t.library != nullptr ? dlsym(t.library, name) : nullptr;
  if (function == nullptr) {
    fprintf(stderr, "lathe: %s is not supported: %s\n", name,
            t.library != nullptr ? (t.report + " lacks it").c_str() : t.report.c_str());
    bool text = strncmp(name, "cublasGetStatus", 15) == 0;  // the two that return one
    function = text ? reinterpret_cast<void*>(no_text) : reinterpret_cast<void*>(lathe_cublas_missing);
  }
  __atomic_store_n(slot, function, __ATOMIC_RELEASE);
  return function;
}
