/** The generation engine: requests in, streams of tokens out. */
package dev.lathe.generate;
