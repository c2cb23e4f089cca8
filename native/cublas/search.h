/* Where cuBLAS may be installed. */
#pragma once
#include <string>
#include <vector>

namespace lathe::cublas {

/** Whether `path` is a folder. */
bool is_folder(const std::string& path);

/** The files in which a cuBLAS that the user names may be: the file itself, or what lies in that folder, an installed
 * toolkit's or Python's site-packages.
 */
std::vector<std::string> candidates_in(const std::string& wanted);

/** The files in which an installed cuBLAS may be, the likeliest first: the dynamic linker's folders, CUDA_HOME and
 * CUDA_PATH, then /usr/local/cuda and its neighbours, the newest first.
 */
std::vector<std::string> candidates();

}  // namespace lathe::cublas
