/** Techniques that make a model smaller: a checkpoint in, a checkpoint out, a matrix at a time. */
package dev.lathe.compress;
