#include "search.h"

#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

namespace lathe::cublas {

namespace {

// 12 is what JCublas was made for; where only 13 is, its functions are the same ones.
constexpr const char* kNames[] = {"libcublas.so.12", "libcublas.so.13"};

std::vector<std::string> matches(const std::string& pattern) {
  std::vector<std::string> paths;
  glob_t found;
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0) paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  globfree(&found);
  return paths;
}

void add_split(std::vector<std::string>& folders, const char* list) {
  if (list == nullptr) return;
  std::stringstream parts(list);
  for (std::string folder; std::getline(parts, folder, ':');)
    if (!folder.empty()) folders.push_back(folder);
}

/** The folders that a linker configuration names, its includes followed. */
void add_configured(std::vector<std::string>& folders, const std::string& file, int depth) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    line.erase(std::find(line.begin(), line.end(), '#'), line.end());
    std::stringstream words(line);
    std::string word;
    if (!(words >> word)) continue;
    if (word == "include") {
      while (depth > 0 && words >> word)
        for (const std::string& included : matches(word)) add_configured(folders, included, depth - 1);
    } else if (word[0] == '/') {
      folders.push_back(word);
    }
  }
}

void add_toolkit(std::vector<std::string>& folders, const std::string& root) {
  folders.push_back(root + "/lib64");
  folders.push_back(root + "/targets/x86_64-linux/lib");
}

/** The files with cuBLAS's names in these folders that are there, each name through all folders before the next. */
std::vector<std::string> files_in(const std::vector<std::string>& folders) {
  std::vector<std::string> files;
  for (const char* name : kNames) {
    for (const std::string& folder : folders) {
      std::string file = folder + "/" + name;
      struct stat status;
      if (stat(file.c_str(), &status) == 0 && std::find(files.begin(), files.end(), file) == files.end())
        files.push_back(file);
    }
  }
  return files;
}

}  // namespace

bool is_folder(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

std::vector<std::string> candidates_in(const std::string& wanted) {
  if (!is_folder(wanted)) return {wanted};
  std::vector<std::string> folders{wanted, wanted + "/lib"};
  add_toolkit(folders, wanted);
  folders.push_back(wanted + "/nvidia/cublas/lib");  // the packages of CUDA 12 for Python
  folders.push_back(wanted + "/nvidia/cu13/lib");    // and of CUDA 13
  return files_in(folders);
}

std::vector<std::string> candidates() {
  std::vector<std::string> folders;
  add_split(folders, std::getenv("LD_LIBRARY_PATH"));
  add_configured(folders, "/etc/ld.so.conf", 4);
  for (const char* folder : {"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/usr/lib"})
    folders.push_back(folder);
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"})
    if (const char* root = std::getenv(variable); root != nullptr && *root != '\0') add_toolkit(folders, root);
  add_toolkit(folders, "/usr/local/cuda");
  std::vector<std::string> toolkits = matches("/usr/local/cuda-*");
  std::sort(toolkits.begin(), toolkits.end(),
            [](const std::string& a, const std::string& b) { return strverscmp(a.c_str(), b.c_str()) > 0; });
  for (const std::string& toolkit : toolkits) add_toolkit(folders, toolkit);
  return files_in(folders);
}

}  // namespace lathe::cublas
