/** Where Lathe's own files are: what comes with a checkout, and what is unpacked from jars. */
package dev.lathe.files;
