/** Raw samples of what a model does, and metrics as pure functions of them: time, work, quality. */
package dev.lathe.measure;
