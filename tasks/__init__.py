"""The built-in tasks, one file each, written only against ``acdc``'s public names: copy one to write your own."""
