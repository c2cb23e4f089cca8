/** The verbs of {@code lathe}: each parses, calls one thing of the floors below, and prints. */
package dev.lathe.cli;
