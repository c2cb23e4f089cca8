/** Training: the decoder's gradients, the optimizer, and what the embedded default is made with. */
package dev.lathe.train;
