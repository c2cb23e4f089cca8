/** Text to token ids and back, streaming included. */
package dev.lathe.tokenize;
