/**
 * The text that the embedded default learns: written by a seeded generator, nothing from outside.
 */
package dev.lathe.train.corpus;
