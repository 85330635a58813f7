/**
 * Runs before each test file. A file gets fresh modules, but koffi's native half lives as long as
 * the process and would refuse a C type that the previous file has declared too.
 */
import koffi from 'koffi';

koffi.reset();
